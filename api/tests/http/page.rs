//! The operator page is whole, and asks for nothing from outside.

use crate::bridge::house;

#[tokio::test]
async fn everything_the_page_names_is_served() {
    let house = house();
    let page = house.get("/").await;

    assert!(page.header("content-type").starts_with("text/html"));
    for name in page.body.split('"').filter(|text| text.starts_with("/dashboard/")) {
        assert_eq!(house.get(name).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn the_policy_forbids_what_is_inline_or_from_outside() {
    let page = house().get("/").await;
    let policy = page.header("content-security-policy");

    assert!(policy.starts_with("default-src 'none'"));
    assert!(!policy.contains("unsafe"));
    assert!(!page.body.contains("<style") && !page.body.contains("style=\""));
    assert!(!page.body.contains("://"));
}

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
async fn every_module_that_a_module_imports_is_served() {
    let house = house();
    let mut waiting = vec!["app.js".to_owned()];
    let mut seen = Vec::new();

    while let Some(name) = waiting.pop() {
        let module = house.get(&format!("/dashboard/{name}")).await;
        assert_eq!(module.status, 200, "{name}");
        assert!(module.header("content-type").starts_with("text/javascript"));
        let imports = module.body.split("from './").skip(1);
        let imports = imports.filter_map(|rest| rest.split('\'').next()).map(str::to_owned);
        seen.push(name);
        waiting.extend(imports.filter(|name| !seen.contains(name)).collect::<Vec<_>>());
    }

    assert!(seen.len() > 5);
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

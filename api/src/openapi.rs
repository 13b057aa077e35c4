//! `/openapi.json`: gathered from the handlers, with what all of them share added in one place.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use serde_json::{Value, json};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, PathItem, Paths, Ref, RefOr, Required,
    ResponseBuilder,
    schema::{ObjectBuilder, Type},
};
use utoipa::{PartialSchema as _, ToSchema};

use crate::error::{FieldError, Problem};
use crate::event::{Event, EventType, Level};
use crate::model::{DeliveryState, GroupSettings, RecordFormat, TransferFailure};
use crate::samples;
use crate::socket::{ClientMessage, ServerMessage};

/// The document for what `v1`, `open` and `metrics` serve.
pub(crate) fn document(v1: OpenApi, open: OpenApi, metrics: OpenApi) -> OpenApi {
    let mut document = v1.merge_from(open).merge_from(metrics);
    document.info = InfoBuilder::new()
        .title("Plenary")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .build();
    document.security = Some(vec![SecurityRequirement::new("key", Vec::<String>::new())]);
    let components = document.components.get_or_insert_with(Components::default);
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(KEY)).build();
    components.add_security_scheme("key", SecurityScheme::Http(key));
    add_schemas(components);
    add_examples(components);
    for (status, words, _) in PROBLEMS {
        components.responses.insert((*status).to_owned(), problem_response(words).into());
    }
    document.webhooks = Some(told());
    for (path, item) in &mut document.paths.paths {
        complete(path, item);
    }
    document
}

/// Serves `document` to all.
pub(crate) fn route(document: &OpenApi) -> Router {
    // Fails only for maps with keys that are not strings, and the document has none.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    allow_absent_bodies(&mut document);
    allow_parts(&mut document);
    let text = document.to_string();
    let answer = ([(header::CONTENT_TYPE, "application/json")], text);
    Router::new().route("/openapi.json", get(async move || answer.clone()))
}

/// A body of which nothing is required may be absent, and is read as `{}`.
fn allow_absent_bodies(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let operations = document["paths"].as_object_mut().into_iter().flatten();
    let operations = operations.filter_map(|(_, path)| path.as_object_mut()).flatten();
    for body in operations.filter_map(|(_, operation)| operation.get_mut("requestBody")) {
        let schema = body.pointer("/content/application~1json/schema/$ref");
        let name = schema.and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
        let required = name.and_then(|name| schemas[name]["required"].as_array());
        body["required"] = json!(required.is_some_and(|fields| !fields.is_empty()));
    }
}

/// What is a part of another shape is not alone in it.
fn allow_parts(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let parts = fields.get_mut("allOf").and_then(Value::as_array_mut);
            for part in parts.into_iter().flatten().filter_map(Value::as_object_mut) {
                part.remove("additionalProperties");
            }
            fields.values_mut().for_each(allow_parts);
        }
        Value::Array(items) => items.iter_mut().for_each(allow_parts),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Shapes that no handler names in its signature.
fn add_schemas(components: &mut Components) {
    let schemas = &mut components.schemas;
    schemas.insert(Problem::name().into_owned(), Problem::schema());
    schemas.insert(FieldError::name().into_owned(), FieldError::schema());
    schemas.insert(Event::name().into_owned(), Event::schema());
    schemas.insert(EventType::name().into_owned(), EventType::schema());
    schemas.insert(Level::name().into_owned(), Level::schema());
    schemas.insert(RecordFormat::name().into_owned(), RecordFormat::schema());
    schemas.insert(DeliveryState::name().into_owned(), DeliveryState::schema());
    schemas.extend(with_parts::<GroupSettings>());
    schemas.extend(with_parts::<ClientMessage>());
    schemas.extend(with_parts::<ServerMessage>());
    schemas.insert(TransferFailure::name().into_owned(), TransferFailure::schema());
}

/// A shape and those that it is made of.
fn with_parts<T: ToSchema>() -> Vec<(String, RefOr<utoipa::openapi::Schema>)> {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    schemas
}

/// An example for each resource, made by the code that makes the real ones.
fn add_examples(components: &mut Components) {
    let examples = [
        ("Room", json!(samples::room())),
        ("RoomToken", json!(samples::room_token())),
        ("RoomTemplate", json!(samples::template())),
        ("Invitation", json!(samples::invitation())),
        ("Session", json!(samples::session())),
        ("DirectoryEntry", json!(samples::directory_entry())),
        ("Participant", json!(samples::participant())),
        ("Call", json!(samples::call())),
        ("Leg", json!(samples::leg())),
        ("LegStats", json!(samples::leg_stats())),
        ("Ban", json!(samples::ban())),
        ("Trace", json!(samples::trace())),
        ("LegRecord", json!(samples::leg_record())),
        ("CallRecord", json!(samples::call_record())),
        ("RoomRecord", json!(samples::room_record())),
        ("AuditEntry", json!(samples::audit_entry())),
        ("Webhook", json!(samples::webhook())),
        ("Delivery", json!(samples::delivery())),
        ("ApiKey", json!(samples::api_key())),
        ("User", json!(samples::user())),
        ("Trunk", json!(samples::trunk())),
        ("Route", json!(samples::route())),
        ("Registration", json!(samples::registration())),
        ("Playback", json!(samples::playback())),
        ("Recording", json!(samples::recording())),
        ("Media", json!(samples::media())),
        ("Presence", json!(samples::presence())),
        ("Message", json!(samples::message())),
        ("Node", json!(samples::node())),
        ("Event", json!(samples::event())),
    ];
    for (name, example) in examples {
        if let Some(RefOr::T(utoipa::openapi::Schema::Object(schema))) =
            components.schemas.get_mut(name)
        {
            schema.examples = vec![example];
        }
    }
}

/// What webhooks are sent: an item for each type of event, all of the same shape.
fn told() -> Paths {
    let header = |name: &str, words: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some(words))
            .schema(Some(text()))
            .build()
    };
    let told = |mut paths: PathsBuilder, kind: &EventType| {
        let schema = Ref::from_schema_name(Event::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let body = RequestBodyBuilder::new().content("application/json", content);
        let taken = ResponseBuilder::new().description("Taken; all else is tried again").build();
        let gone = ResponseBuilder::new().description("Never send anything again").build();
        let mut operation = OperationBuilder::new()
            .tag("webhooks")
            .summary(Some(kind.meaning().trim()))
            .request_body(Some(body.required(Some(Required::True)).build()))
            .response("2XX", taken)
            .response("410", gone);
        for (name, words) in SIGNATURE {
            operation = operation.parameter(header(name, words));
        }
        paths = paths.path(kind.as_str(), PathItem::new(HttpMethod::Post, operation));
        paths
    };
    EventType::ALL.iter().fold(PathsBuilder::new(), told).build()
}

fn problem_response(words: &str) -> utoipa::openapi::Response {
    let schema = Ref::from_schema_name(Problem::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(words)
        .content("application/problem+json", content)
        .header("X-Request-Id", HeaderBuilder::new().schema(Some(text())).build())
        .build()
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Adds what every operation of this path shares.
fn complete(path: &str, item: &mut PathItem) {
    let operations = [
        (&mut item.get, false),
        (&mut item.put, false),
        (&mut item.post, true),
        (&mut item.patch, false),
        (&mut item.delete, false),
    ];
    for (operation, is_post) in operations {
        let Some(operation) = operation else { continue };
        let locked = path.starts_with("/v1/") || path == "/metrics";
        let has_body = operation.request_body.is_some();
        let is_conditional = operation.parameters.iter().flatten().any(
            |parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "If-Match"),
        );
        let facts =
            Facts { locked, is_post, has_body, has_name: path.contains('{'), is_conditional };
        for (status, _, _) in PROBLEMS.iter().filter(|(_, _, applies)| applies(&facts)) {
            let response = RefOr::Ref(Ref::from_response_name(*status));
            operation.responses.responses.entry((*status).to_owned()).or_insert(response);
        }
        // Who logs in has no key yet for whom an answer could be kept.
        if is_post && locked && path != "/v1/sessions" {
            add_idempotency_key(operation);
        }
    }
}

fn add_idempotency_key(operation: &mut Operation) {
    let parameter = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("A repeat with the same key and body within 24 hours gets the first answer, with `Idempotent-Replayed: true`"))
        .schema(Some(text().max_length(Some(255))))
        .build();
    operation.parameters.get_or_insert_default().push(parameter.into());
}

/// What decides which problems an operation can answer.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Facts {
    locked: bool,
    is_post: bool,
    has_body: bool,
    has_name: bool,
    is_conditional: bool,
}

type Applies = fn(&Facts) -> bool;

/// Status, meaning, and where it can happen.
const PROBLEMS: &[(&str, &str, Applies)] = &[
    ("400", "The body is not JSON, or `Idempotency-Key` is not printable", |facts| {
        facts.has_body || (facts.is_post && facts.locked)
    }),
    ("401", "A valid key is needed", |facts| facts.locked),
    ("403", "This key may not do that", |facts| facts.locked),
    ("404", "No such resource", |facts| facts.has_name),
    ("409", "Not possible in this state", |facts| facts.has_name || facts.has_body),
    ("412", "`If-Match` is for another revision", |facts| facts.is_conditional),
    ("413", "The body is too large", |facts| facts.has_body),
    ("415", "The body is not declared as JSON", |facts| facts.has_body),
    ("429", "This key asks too often, or has too many streams; see `Retry-After`", |facts| {
        facts.locked
    }),
    ("422", "A field or parameter is not acceptable; `errors` points to it", |facts| facts.locked),
    ("503", "A limit is reached, or the bridge stops; see `Retry-After`", |_| true),
];

/// The headers of Standard Webhooks 1.0.
const SIGNATURE: [(&str, &str); 3] = [
    ("webhook-id", "The id of the event: the same for each attempt"),
    ("webhook-timestamp", "When this attempt was made, seconds since 1970"),
    (
        "webhook-signature",
        "`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64; one for each secret, separated by spaces",
    ),
];
const KEY: &str = "The key that the start-up log prints, or one made later.";
const DESCRIPTION: &str = "Steers a SIP conference bridge: rooms, the people in them, two-party calls, and one numbered log of \
    all that happens. Work that goes on answers 202 with the resource in its new state; the header `Expect-Events` names the \
    events that tell how it went.";

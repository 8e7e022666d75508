use std::io;
use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State as Given};
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use futures::{StreamExt as _, stream};
use memorybank::domain::PointId;
use serde_json::{Value, json};

use super::{Answer, Collection, Config, Damage, Shared, Stored, id_text, snapshot};

/// The largest request.
const MAX_REQUEST: usize = 4 << 30;

/// What is answered: a status and JSON, or a file.
pub(super) enum Reply {
    Json(u16, Vec<u8>),
    File(Vec<u8>),
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

async fn handle(Given(shared): Given<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = format!("{} {}", parts.method, parts.uri.path());
    let trouble = {
        let mut state = shared.state();
        state.requests.push(target.clone());
        state.troubles.next(&target)
    };
    let body = to_bytes(body, MAX_REQUEST).await.unwrap_or_default();
    let key = shared.state().key.clone();
    let allowed = key.is_none_or(|key| {
        let given = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        given("api-key") == Some(&key) || given("authorization") == Some(&format!("Bearer {key}"))
    });
    let open = ["/", "/healthz", "/livez", "/readyz"].contains(&parts.uri.path());
    if !allowed && !open {
        let told = "Must provide an API key or an Authorization bearer token";
        return response(401, "text/plain", Bytes::from_static(told.as_bytes()));
    }
    match trouble {
        // Ends the task of the connection, without the hook that prints a panic.
        Some(Answer::Drop) => std::panic::resume_unwind(Box::new(())),
        Some(Answer::Status(status, words)) => return reply(error(status, words)),
        Some(Answer::Body(body)) => return reply(Reply::Json(200, body.into_bytes())),
        Some(Answer::Delay(time)) => tokio::time::sleep(time).await,
        Some(Answer::Half | Answer::HalfJson) | None => {}
    }
    let path = parts.uri.path().to_owned();
    let steps: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(decoded).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let boundary = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()?.split_once("boundary="));
    let boundary = boundary.map(|(_, boundary)| boundary.to_owned());
    let answer = route(&shared, &parts.method, &steps, &query, &body, boundary.as_deref());
    let (status, kind, body) = told(answer);
    match trouble {
        Some(Answer::Half) => {
            let half = body.slice(..body.len() / 2);
            // Half goes out before the end comes: a body that waits is flushed.
            let pieces = stream::iter([Ok(half), Err(io::Error::other("the connection is closed"))]);
            let pieces = pieces.then(|piece| async {
                tokio::task::yield_now().await;
                piece
            });
            Response::builder()
                .status(status)
                .header(header::CONTENT_LENGTH, body.len())
                .body(Body::from_stream(pieces))
                .unwrap()
        }
        Some(Answer::HalfJson) => response(status, kind, body.slice(..body.len() / 2)),
        _ => response(status, kind, body),
    }
}

fn reply(reply: Reply) -> Response {
    let (status, kind, body) = told(reply);
    response(status, kind, body)
}

fn told(reply: Reply) -> (u16, &'static str, Bytes) {
    match reply {
        Reply::Json(status, body) => (status, "application/json", body.into()),
        Reply::File(body) => (200, "application/octet-stream", body.into()),
    }
}

fn response(status: u16, kind: &str, body: Bytes) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(Body::from(body)).unwrap()
}

pub(super) fn ok(result: &Value) -> Reply {
    Reply::Json(200, json!({"result": result, "status": "ok", "time": 0.000_125}).to_string().into_bytes())
}

pub(super) fn error(status: u16, words: &str) -> Reply {
    Reply::Json(status, json!({"status": {"error": words}, "time": 0.000_02}).to_string().into_bytes())
}

fn decoded(step: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = step.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' && after.len() >= 2 {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn route(shared: &Shared, method: &Method, steps: &[&str], query: &str, body: &[u8], boundary: Option<&str>) -> Reply {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    match (method.as_str(), steps) {
        ("GET", []) => Reply::Json(
            200,
            json!({"title": "qdrant - vector search engine", "version": "1.19.0", "commit": "0"}).to_string().into(),
        ),
        ("GET", ["healthz" | "livez"]) => Reply::File(b"healthz check passed".to_vec()),
        ("GET", ["readyz"]) => Reply::File(b"all shards are ready".to_vec()),
        ("GET", ["collections"]) => {
            let names: Vec<Value> = shared.state().collections.keys().map(|name| json!({"name": name})).collect();
            ok(&json!({"collections": names}))
        }
        ("GET", ["cluster"]) => ok(&json!({"status": "disabled"})),
        ("GET", ["issues"]) => ok(&json!({"issues": shared.state().issues})),
        ("PUT", ["collections", name]) => match Config::from_params(&asked) {
            None => error(400, "Format error in JSON body: missing field `vectors`"),
            Some(_) if shared.state().collections.contains_key(*name) => {
                error(409, &format!("Wrong input: Collection `{name}` already exists!"))
            }
            Some(config) => {
                shared.state().collections.insert((*name).to_owned(), Collection::new(config));
                ok(&json!(true))
            }
        },
        ("DELETE", ["collections", name]) => ok(&json!(shared.state().collections.remove(*name).is_some())),
        ("POST", ["collections", name, "snapshots", "upload"]) => {
            snapshot::upload(shared, name, query, body, boundary.unwrap_or_default())
        }
        ("PUT", ["collections", name, "snapshots", "recover"]) => snapshot::recover(shared, name, &asked),
        (_, ["collections", name, rest @ ..]) => {
            if !shared.state().collections.contains_key(*name) {
                return error(404, &format!("Not found: Collection `{name}` doesn't exist!"));
            }
            match (method.as_str(), rest) {
                ("POST", ["snapshots"]) => snapshot::create(shared, name),
                ("GET", ["snapshots"]) => ok(&json!(snapshot::list(shared, name))),
                ("GET", ["snapshots", file]) => snapshot::download(shared, name, file),
                ("DELETE", ["snapshots", file]) => snapshot::delete(shared, name, file),
                (method, rest) => {
                    let mut state = shared.state();
                    of_collection(state.collections.get_mut(*name).unwrap(), method, rest, &asked)
                }
            }
        }
        _ => Reply::Json(404, Vec::new()),
    }
}

fn of_collection(collection: &mut Collection, method: &str, rest: &[&str], asked: &Value) -> Reply {
    match (method, rest) {
        ("GET", []) => ok(&information(collection)),
        ("GET", ["cluster"]) => ok(&json!({
            "peer_id": 4_711,
            "shard_count": 1,
            "local_shards": [{"shard_id": 0, "points_count": collection.count(), "state": collection.shard_state}],
            "remote_shards": [],
            "shard_transfers": vec![json!({"shard_id": 0, "from": 1, "to": 4_711, "sync": true}); collection.transfers],
        })),
        ("POST", ["points", "count"]) => {
            let exact = asked["exact"].as_bool().unwrap_or(true);
            let stale = if exact { collection.counted } else { collection.approximate };
            ok(&json!({"count": stale.unwrap_or_else(|| collection.count())}))
        }
        ("POST", ["points", "scroll"]) => scroll(collection, asked),
        ("POST", ["points"]) => retrieve(collection, asked),
        ("PUT", ["points"]) => upsert(collection, asked),
        ("POST", ["points", "delete"]) => {
            let Some(ids) = ids(&asked["points"]) else { return error(400, "Format error in JSON body") };
            for id in ids {
                collection.remove(id);
            }
            done()
        }
        ("POST" | "PUT", ["points", "payload"]) => {
            let Some(ids) = ids(&asked["points"]) else { return error(400, "Format error in JSON body") };
            for id in ids {
                let Some(mut point) = collection.get(id) else { continue };
                match (method, point.payload.as_object_mut(), asked["payload"].as_object()) {
                    ("POST", Some(old), Some(new)) => old.extend(new.clone()),
                    _ => point.payload = asked["payload"].clone(),
                }
                collection.put(id, point);
            }
            done()
        }
        ("POST", ["points", "batch"]) => {
            for operation in asked["operations"].as_array().into_iter().flatten() {
                let Some(set) = operation.get("set_payload") else { return error(400, "Format error in JSON body") };
                of_collection(collection, "POST", &["points", "payload"], set);
            }
            done()
        }
        ("PUT", ["index"]) => {
            let (field, schema) = (&asked["field_name"], &asked["field_schema"]);
            let kind = schema.as_str().or_else(|| schema["type"].as_str());
            let (Some(field), Some(kind)) = (field.as_str(), kind) else {
                return error(400, "Format error in JSON body");
            };
            collection.indexes.insert(field.to_owned(), kind.to_owned());
            done()
        }
        _ => Reply::Json(404, Vec::new()),
    }
}

fn done() -> Reply {
    ok(&json!({"operation_id": 1, "status": "completed"}))
}

fn information(collection: &Collection) -> Value {
    let points = collection.approximate.unwrap_or_else(|| collection.count());
    let index = |(field, kind)| (String::clone(field), json!({"data_type": kind, "points": points}));
    let indexes: serde_json::Map<String, Value> = collection.indexes.iter().map(index).collect();
    let optimizer = match &collection.optimizer_error {
        None => json!("ok"),
        Some(error) => json!({"error": error}),
    };
    json!({
        "status": collection.colour,
        "optimizer_status": optimizer,
        "indexed_vectors_count": points,
        "points_count": points,
        "segments_count": 2,
        "config": {
            "params": collection.config.params(),
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "on_disk": false},
            "optimizer_config": {"deleted_threshold": 0.2, "flush_interval_sec": 5},
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
            "quantization_config": null,
        },
        "payload_schema": indexes,
    })
}

fn id(value: &Value) -> Option<PointId> {
    match value {
        Value::Number(number) => number.as_u64().map(PointId::Number),
        Value::String(text) => uuid::Uuid::try_parse(text).ok().map(|uuid| PointId::Uuid(uuid.as_u128())),
        _ => None,
    }
}

fn ids(value: &Value) -> Option<Vec<PointId>> {
    value.as_array()?.iter().map(id).collect()
}

/// What of each point is returned.
struct Wanted {
    payload: bool,
    vector: bool,
}

impl Wanted {
    fn of(asked: &Value, payload_by_default: bool) -> Self {
        let vector = match &asked["with_vector"] {
            Value::Bool(wanted) => *wanted,
            Value::Array(names) => !names.is_empty(),
            _ => false,
        };
        Self { payload: asked["with_payload"].as_bool().unwrap_or(payload_by_default), vector }
    }
}

fn scroll(collection: &Collection, asked: &Value) -> Reply {
    let limit = usize::try_from(asked["limit"].as_u64().unwrap_or(10)).unwrap();
    let from = match &asked["offset"] {
        Value::Null => None,
        offset => match id(offset) {
            None => return error(400, "Format error in JSON body: value is not a valid point ID"),
            from => from,
        },
    };
    let wanted = Wanted::of(asked, true);
    let mut out = br#"{"result":{"points":["#.to_vec();
    let mut given = 0;
    let mut next = Value::Null;
    for (id, point) in collection.from(from) {
        if given == limit {
            next = id_text(id);
            break;
        }
        match collection.damaged.get(&id) {
            Some(Damage::Hidden) => continue,
            // Its id stands elsewhere.
            Some(Damage::Unreadable) if wanted.payload || wanted.vector => {
                return error(500, "Service internal error: OutputTooSmall { expected: 232, actual: 128 }");
            }
            damage => write_point(&mut out, collection, id, point, &wanted, damage.copied(), given > 0),
        }
        given += 1;
    }
    write!(out, r#"],"next_page_offset":{next}}},"status":"ok","time":0.0021}}"#).unwrap();
    Reply::Json(200, out)
}

fn retrieve(collection: &Collection, asked: &Value) -> Reply {
    let Some(ids) = ids(&asked["ids"]) else { return error(400, "Format error in JSON body") };
    let wanted = Wanted::of(asked, true);
    let mut out = br#"{"result":["#.to_vec();
    let mut given = 0;
    for id in ids {
        let damage = collection.damaged.get(&id).copied();
        if matches!(damage, Some(Damage::Unreadable)) {
            return error(500, "Service internal error: OutputTooSmall { expected: 232, actual: 128 }");
        }
        let Some(point) = collection.get(id) else { continue };
        write_point(&mut out, collection, id, point, &wanted, damage, given > 0);
        given += 1;
    }
    out.extend_from_slice(br#"],"status":"ok","time":0.0021}"#);
    Reply::Json(200, out)
}

/// Written by hand: there may be a million of them.
fn write_point(
    out: &mut Vec<u8>,
    collection: &Collection,
    id: PointId,
    mut point: Stored,
    wanted: &Wanted,
    damage: Option<Damage>,
    further: bool,
) {
    if further {
        out.push(b',');
    }
    write!(out, r#"{{"id":{}"#, id_text(id)).unwrap();
    if wanted.payload {
        out.extend_from_slice(br#","payload":"#);
        serde_json::to_writer(&mut *out, &point.payload).unwrap();
    }
    if wanted.vector {
        if let Some(damage) = damage {
            damage.apply(&mut point.vector);
        }
        let config = &collection.config;
        let named = config.named.as_deref().or(config.sparse.then_some(""));
        out.extend_from_slice(br#","vector":"#);
        match (named, &point.vector) {
            (None, None) => out.extend_from_slice(b"{}"),
            (None, Some(vector)) => serde_json::to_writer(&mut *out, vector).unwrap(),
            (Some(name), vector) => {
                out.push(b'{');
                if let Some(vector) = vector {
                    write!(out, "{}:", json!(name)).unwrap();
                    serde_json::to_writer(&mut *out, vector).unwrap();
                }
                if config.sparse {
                    let comma = if vector.is_some() { "," } else { "" };
                    write!(out, r#"{comma}"bm25":{{"indices":[17,4711],"values":[0.5,0.25]}}"#).unwrap();
                }
                out.push(b'}');
            }
        }
    }
    out.push(b'}');
}

fn upsert(collection: &mut Collection, asked: &Value) -> Reply {
    let Some(points) = asked["points"].as_array() else {
        return error(400, "Format error in JSON body: data did not match any variant");
    };
    let mut read = Vec::new();
    for point in points {
        let Some(id) = id(&point["id"]) else { return error(400, "Format error in JSON body: not a valid point ID") };
        let name = collection.config.named.as_deref().unwrap_or_default();
        let vector = if point["vector"].is_array() { &point["vector"] } else { &point["vector"][name] };
        #[allow(clippy::cast_possible_truncation)]
        let vector: Option<Vec<f32>> = vector
            .as_array()
            .map(|list| list.iter().map(|number| number.as_f64().unwrap_or_default() as f32).collect());
        let size = collection.config.size;
        if let Some(wrong) = vector.as_ref().filter(|vector| vector.len() != size) {
            let told = format!("Wrong input: Vector dimension error: expected dim: {size}, got {}", wrong.len());
            return error(400, &told);
        }
        read.push((id, point["payload"].clone(), vector));
    }
    for (id, payload, vector) in read {
        collection.upsert(id, payload, vector);
    }
    done()
}

//! A web server whose handlers share the loads of a cache. It serves a page on a free port of this
//! machine, asks itself for the page a hundred times at once, and ends.
//!
//! `cargo run --release --example axum`

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use docache::{Cache, Context};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Pages = Cache<String, Arc<str>, io::Error>;

static RENDERED: AtomicUsize = AtomicUsize::new(0);

async fn render(name: String) -> io::Result<Arc<str>> {
    RENDERED.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(format!("page {name}\n").into())
}

/// Answers from the cache. A request that waits for longer than a second is told so; the rendering
/// goes on, for those who come later.
async fn page(
    State(pages): State<Pages>,
    Path(name): Path<String>,
) -> Result<String, (StatusCode, String)> {
    let patience = Context::new().with_timeout(Duration::from_secs(1));
    let detached = pages.options().context(&patience).detached(|load| drop(tokio::spawn(load)));
    let rendered = detached.try_fetch_async(name.as_str(), {
        let name = name.clone();
        || render(name)
    });
    match rendered.await {
        Ok(page) => Ok(page.to_string()),
        Err(error) if error.is_timeout() => Err((StatusCode::GATEWAY_TIMEOUT, error.to_string())),
        Err(error) => Err((StatusCode::BAD_GATEWAY, error.to_string())),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pages: Pages = Cache::builder().capacity(1_000).build()?;
    let app = Router::new().route("/{name}", get(page)).with_state(pages);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..100 {
        requests.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"GET /ada HTTP/1.0\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        });
    }
    let answers: Vec<String> = requests.join_all().await.into_iter().collect::<Result<_, _>>()?;
    let good = answers.iter().filter(|answer| answer.ends_with("page ada\n")).count();
    println!("{good} requests answered, {} page rendered", RENDERED.load(Ordering::Relaxed));
    assert_eq!((good, RENDERED.load(Ordering::Relaxed)), (100, 1));
    Ok(())
}

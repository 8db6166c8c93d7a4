//! HTTP for the library that speaks with object stores: our one client, in the place of one that the library would bring.

use std::error::Error;
use std::fmt;
use std::pin::Pin;

use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::{Body, Client, Url};

use crate::egress::client;
use crate::limits::HISTORY_CALL_MAX;

/// Makes clients for an object store.
#[derive(Debug)]
pub(super) struct BucketConnector {
    /// Where it is: certificates of others are looked for only where they are needed.
    pub url: Url,
}

impl HttpConnector for BucketConnector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let made = client(&self.url, HISTORY_CALL_MAX);
        let made = made.map_err(|source| object_store::Error::Generic { store: "S3", source: source.into() })?;
        Ok(HttpClient::new(BucketClient(made)))
    }
}

struct BucketClient(Client);

impl fmt::Debug for BucketClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Requests have signatures in their headers.
        f.write_str("Caller(..)")
    }
}

/// What the trait's macro makes of `async fn call(&self, …)`.
type ResponseFuture<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for BucketClient {
    fn call<'s, 'a>(&'s self, request: HttpRequest) -> ResponseFuture<'a>
    where
        's: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let request = request.map(|body| match body.as_bytes() {
                Some(bytes) => Body::from(bytes.clone()),
                None => Body::wrap(body),
            });
            let request = request.try_into().map_err(failed)?;
            let (parts, body) = http_response(self.0.execute(request).await.map_err(failed)?).into_parts();
            Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(failed))))
        })
    }
}

fn http_response(response: reqwest::Response) -> axum::http::Response<Body> {
    response.into()
}

/// All that fails on the way may be tried again where the call says so: each of ours may be done twice, or asks before it does.
fn failed(error: reqwest::Error) -> HttpError {
    let kind = match &error {
        error if error.is_timeout() => HttpErrorKind::Timeout,
        error if error.is_connect() => HttpErrorKind::Connect,
        error if error.is_builder() => HttpErrorKind::Unknown,
        _ => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, TransportError(last(&error.without_url())))
}

/// The last of the causes: what came before it says only that a request failed.
pub(super) fn last(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Why there is no answer.
#[derive(Debug)]
struct TransportError(String);

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for TransportError {}

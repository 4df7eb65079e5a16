//! How long an answer of S3 is waited for: about half a minute, and for minutes where an upload in parts is ended.

use std::time::Duration;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector};

/// One attempt of any other request.
pub(super) const USUAL: Duration = Duration::from_secs(30);

/// One attempt to end an upload: S3 puts the parts together before its answer is whole, and says that this can take several minutes
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>).
pub(super) const ENDING: Duration = Duration::from_secs(300);

/// Connects the store with both.
#[derive(Debug)]
pub(super) struct Patient;

impl HttpConnector for Patient {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let [usual, ending] = [USUAL, ENDING].map(|time| ReqwestConnector::default().connect(&options.clone().with_timeout(time)));
        Ok(HttpClient::new(ByRequest { usual: usual?, ending: ending? }))
    }
}

/// A client for each request.
#[derive(Debug)]
struct ByRequest {
    usual: HttpClient,
    ending: HttpClient,
}

#[async_trait]
impl HttpService for ByRequest {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let client = if ends_upload(request.method().as_str(), request.uri().query()) { &self.ending } else { &self.usual };
        client.execute(request).await
    }
}

/// True for `CompleteMultipartUpload`. Its parts are sent by `PUT`, and it is given up by `DELETE`.
fn ends_upload(method: &str, query: Option<&str>) -> bool {
    method == "POST" && query.is_some_and(|query| query.split('&').any(|parameter| parameter.starts_with("uploadId=")))
}

#[cfg(test)]
mod tests {
    use object_store::client::{HttpErrorKind, HttpRequestBody};

    use super::*;

    #[test]
    fn only_the_end_of_an_upload_may_take_minutes() {
        for (method, query, expected) in [
            ("POST", Some("uploadId=x"), true),
            ("POST", Some("a=b&uploadId=x"), true),
            ("POST", Some("uploads"), false),
            ("POST", Some("delete"), false),
            ("PUT", Some("partNumber=1&uploadId=x"), false),
            ("DELETE", Some("uploadId=x"), false),
            ("GET", None, false),
        ] {
            assert_eq!(ends_upload(method, query), expected, "{method} {query:?}");
        }
    }

    /// A client that fails with its name.
    #[derive(Debug)]
    struct Named(&'static str);

    #[async_trait]
    impl HttpService for Named {
        async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
            Err(HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(self.0)))
        }
    }

    #[tokio::test]
    async fn the_end_of_an_upload_goes_to_the_client_that_waits() {
        let by_request = ByRequest { usual: HttpClient::new(Named("usual")), ending: HttpClient::new(Named("ending")) };
        for (uri, expected) in [("http://s3/b/k?uploadId=x", "ending"), ("http://s3/b/k?uploads", "usual")] {
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.method_mut() = "POST".parse().unwrap();
            *request.uri_mut() = uri.parse().unwrap();
            let answer = by_request.call(request).await.unwrap_err();
            assert_eq!(std::error::Error::source(&answer).unwrap().to_string(), expected);
        }
    }
}

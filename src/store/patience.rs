//! How long an answer of S3 is waited for: about half a minute, and for minutes where an upload in parts is ended.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector};

/// One attempt of any other request.
pub(super) const USUAL: Duration = Duration::from_secs(30);

/// One attempt to end an upload: S3 puts the parts together before its answer is whole, and says that this can take several minutes
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>).
pub(super) const ENDING: Duration = Duration::from_secs(300);

/// Connects stores with both. All of them get the client of the first one: each client reads the certificates of the system for itself, which takes
/// longer than a request, and has connections of its own. So their options must be alike.
#[derive(Debug, Clone, Default)]
pub(super) struct Patient(Arc<OnceLock<HttpClient>>);

impl HttpConnector for Patient {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        if let Some(client) = self.0.get() {
            return Ok(client.clone());
        }
        let usual = ReqwestConnector::default().connect(&options.clone().with_timeout(USUAL))?;
        let by_request = ByRequest { usual, ending: OnceLock::new(), options: options.clone() };
        Ok(self.0.get_or_init(|| HttpClient::new(by_request)).clone())
    }
}

/// A client for each request.
#[derive(Debug)]
struct ByRequest {
    usual: HttpClient,
    /// Few processes end an upload: it is made for the first one.
    ending: OnceLock<HttpClient>,
    options: ClientOptions,
}

impl ByRequest {
    fn ending(&self) -> Result<&HttpClient, HttpError> {
        if let Some(client) = self.ending.get() {
            return Ok(client);
        }
        let client = ReqwestConnector::default().connect(&self.options.clone().with_timeout(ENDING));
        let client = client.map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?;
        Ok(self.ending.get_or_init(|| client))
    }
}

#[async_trait]
impl HttpService for ByRequest {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let client = if ends_upload(request.method().as_str(), request.uri().query()) { self.ending()? } else { &self.usual };
        client.execute(request).await
    }
}

/// True for `CompleteMultipartUpload`. Its parts are sent by `PUT`, and it is given up by `DELETE`.
fn ends_upload(method: &str, query: Option<&str>) -> bool {
    method == "POST" && query.is_some_and(|query| query.split('&').any(|parameter| parameter.starts_with("uploadId=")))
}

#[cfg(test)]
mod tests {
    use object_store::ClientConfigKey;
    use object_store::client::HttpRequestBody;

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

    #[test]
    fn stores_share_the_client_of_the_first() {
        let (of_none, patient) = (ClientOptions::new().with_config(ClientConfigKey::ConnectTimeout, "no time"), Patient::default());
        assert!(patient.connect(&of_none).is_err(), "no client is made with these options");
        patient.connect(&ClientOptions::new()).unwrap();
        patient.clone().connect(&of_none).unwrap();
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
        let ending = OnceLock::from(HttpClient::new(Named("ending")));
        let by_request = ByRequest { usual: HttpClient::new(Named("usual")), ending, options: ClientOptions::new() };
        for (uri, expected) in [("http://s3/b/k?uploadId=x", "ending"), ("http://s3/b/k?uploads", "usual")] {
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.method_mut() = "POST".parse().unwrap();
            *request.uri_mut() = uri.parse().unwrap();
            let answer = by_request.call(request).await.unwrap_err();
            assert_eq!(std::error::Error::source(&answer).unwrap().to_string(), expected);
        }
    }
}

//! Buckets behind `s3://` locations, reached with the configuration and credentials that every AWS tool uses.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_s3::config::retry::{RetryConfig as SdkRetryConfig, RetryPartition, TokenBucket};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, Credentials, ProvideCredentials, SharedCredentialsProvider, StalledStreamProtectionConfig};
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::operation::abort_multipart_upload::AbortMultipartUploadError;
use aws_types::service_config::ServiceConfigKey;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::prefix::PrefixStore;
use object_store::{CredentialProvider, RetryConfig};
use tokio::sync::Mutex;

use super::patience::{ENDING, Patient, USUAL};
use super::{Root, parse, refusal};
use crate::clock::{Clock, SystemClock};
use crate::config::Location;
use crate::error::{Error, Result};

/// A request is tried again for this long. It must be far below the validity of credentials, as these are not renewed in between.
const DEADLINE: Duration = Duration::from_secs(90);

/// What the SDK asks of a bucket is tried again this often at most, and within `DEADLINE`, with pauses that begin with the one and grow to
/// the other; the pauses differ, and are half as long on the average.
const ATTEMPTS: u32 = 20;
const FIRST: Duration = Duration::from_millis(250);
const SLOWEST: Duration = Duration::from_secs(10);

/// Credentials are renewed this long before they expire.
const EARLY: TimeDelta = TimeDelta::minutes(5);

/// The account, region and endpoints of a process, and how its objects are encrypted.
#[derive(Debug, Clone)]
pub struct Aws {
    sdk: SdkConfig,
    /// The KMS key of written objects; without one the bucket's default counts.
    kms_key: Option<String>,
    credentials: Option<Arc<CachedCredentials>>,
    /// What all stores send their requests with.
    clients: Patient,
}

impl Aws {
    /// Reads what the SDK's own chain finds: environment, profiles, roles of containers and instances.
    pub async fn load(kms_key: Option<&str>) -> Self {
        Self::of(aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await, kms_key)
    }

    /// Uses what was read already.
    pub fn of(sdk: SdkConfig, kms_key: Option<&str>) -> Self {
        let cached = |provider| Arc::new(CachedCredentials { provider, last: Mutex::default() });
        let credentials = sdk.credentials_provider().map(cached);
        Self { sdk, kms_key: kms_key.map(str::to_string), credentials, clients: Patient::default() }
    }

    /// What clients of the SDK are made of.
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// Opens a prefix of a bucket. Whether it exists shows with the first request.
    ///
    /// # Errors
    /// `Config` if no region or no credentials are configured, or the location names no bucket.
    pub(super) fn open(&self, location: &Location, what: &str) -> Result<Root> {
        let missing =
            |needed: &str, hint: &str| Error::config(format!("{what} `{location}` needs {needed}, and none is configured; {hint}"));
        let region = self.sdk.region().ok_or_else(|| missing("an AWS region", "set AWS_REGION, or `region` in the profile"))?;
        let credentials = self.credentials.clone().ok_or_else(|| missing("AWS credentials", "set AWS_PROFILE or run with a role"))?;
        let (bucket, prefix) = location.bucket().ok_or_else(|| Error::internal(format!("`{location}` names no bucket")))?;
        let retry = RetryConfig { max_retries: usize::MAX, retry_timeout: DEADLINE, ..RetryConfig::default() };
        let mut builder =
            AmazonS3Builder::new().with_bucket_name(bucket).with_region(region.as_ref()).with_credentials(credentials).with_retry(retry);
        builder = builder.with_http_connector(self.clients.clone());
        if let Some(endpoint) = self.endpoint().or_else(|| self.regional(region.as_ref())) {
            builder = builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
        }
        if let Some(key) = &self.kms_key {
            builder = builder.with_sse_kms_encryption(key);
        }
        let store = builder.build().map_err(|e| Error::config(format!("{what} `{location}` cannot be opened: {e}")))?;
        let store = PrefixStore::new(store, parse(prefix.trim_end_matches('/'))?);
        let aws = self.clone();
        let client: LazyClient = Arc::new(LazyLock::new(Box::new(move || aws.client())));
        let uploads = Uploads { client, bucket: bucket.to_string(), prefix, kms_key: self.kms_key.clone() };
        Ok(Root { uploads: Some(uploads), ..Root::of_store(Arc::new(store), location.url().clone()) })
    }

    /// The SDK's client of S3, which does not give up earlier than the store. Its own way is to stop trying again altogether once many
    /// requests failed; a bucket that is busy with one hour would fail the next.
    fn client(&self) -> Client {
        let retry = SdkRetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST).with_max_backoff(SLOWEST);
        let timeout = TimeoutConfig::builder().operation_timeout(DEADLINE).operation_attempt_timeout(USUAL).build();
        let partition = RetryPartition::custom("lakebed").token_bucket(TokenBucket::unlimited()).build();
        let config = Builder::from(&self.sdk).retry_config(retry).timeout_config(timeout).retry_partition(partition);
        Client::from_conf(config.force_path_style(self.endpoint().is_some()).build())
    }

    /// AWS's own endpoint of S3 in a region, by the SDK's rules: China, FIPS and dual stack have names of their own.
    fn regional(&self, region: &str) -> Option<String> {
        let (fips, dual_stack) = (self.sdk.use_fips().unwrap_or(false), self.sdk.use_dual_stack().unwrap_or(false));
        let wanted = Params::builder().region(region).use_fips(fips).use_dual_stack(dual_stack).build().ok()?;
        let found = DefaultResolver::new().resolve_endpoint(&wanted).now_or_never()?.ok()?;
        Some(found.url().to_string())
    }

    /// The endpoint of S3, where another than AWS's own is configured.
    fn endpoint(&self) -> Option<String> {
        let key = ServiceConfigKey::builder().service_id("s3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
        let own = self.sdk.service_config().and_then(|config| config.load_config(key));
        own.or_else(|| self.sdk.endpoint_url().map(str::to_string))
    }
}

/// What another configuration a call of the SDK's client needs that ends an upload. Its answer begins at once and then keeps one waiting, as
/// the SDK lets no other answer do.
pub(super) fn ending() -> Builder {
    let timeout = TimeoutConfig::builder().operation_timeout(2 * ENDING).operation_attempt_timeout(ENDING).build();
    Builder::new().timeout_config(timeout).stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

/// The SDK's client of a location. Few need it, and to make the first one of a process takes as long as a request: it reads the certificates of the
/// system.
type LazyClient = Arc<LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>>;

/// Uploads in parts below a location, which listings of objects do not show.
#[derive(Debug, Clone)]
pub(super) struct Uploads {
    pub(super) client: LazyClient,
    pub(super) bucket: String,
    /// Empty, or ending in a slash.
    pub(super) prefix: String,
    /// The KMS key of written objects; without one the bucket's default counts.
    pub(super) kms_key: Option<String>,
}

/// An upload in parts that was neither ended nor given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Relative to the location.
    pub path: String,
    /// When it was begun, UTC, if the bucket tells.
    pub begun: Option<DateTime<Utc>>,
    id: String,
}

impl Uploads {
    /// The uploads below a folder.
    ///
    /// # Errors
    /// `Unavailable` if the bucket does not answer.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Unfinished>> {
        let prefix = format!("{}{folder}", self.prefix);
        let failed = |e: &dyn std::error::Error| {
            let what = format!("cannot list the uploads below s3://{}/{prefix}", self.bucket);
            refusal::failed(&what, &DisplayErrorContext(e), "run again")
        };
        let (mut found, mut key, mut id) = (Vec::new(), None, None);
        loop {
            let call = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(&prefix);
            let listed = call.set_key_marker(key.take()).set_upload_id_marker(id.take()).send().await.map_err(|e| failed(&e))?;
            found.extend(listed.uploads().iter().filter_map(|upload| {
                let path = upload.key()?.strip_prefix(&self.prefix)?.to_string();
                let begun = upload.initiated().and_then(|at| DateTime::from_timestamp(at.secs(), 0));
                Some(Unfinished { path, begun, id: upload.upload_id()?.to_string() })
            }));
            if !listed.is_truncated().unwrap_or(false) || listed.next_key_marker().is_none() {
                return Ok(found);
            }
            (key, id) = (listed.next_key_marker, listed.next_upload_id_marker);
        }
    }

    /// Gives up one upload; one that is not there any more is no error.
    ///
    /// # Errors
    /// `Unavailable` if the bucket does not answer.
    pub(super) async fn give_up(&self, upload: &Unfinished) -> Result<()> {
        let key = format!("{}{}", self.prefix, upload.path);
        match self.client.abort_multipart_upload().bucket(&self.bucket).key(&key).upload_id(&upload.id).send().await {
            Err(e) if !e.as_service_error().is_some_and(AbortMultipartUploadError::is_no_such_upload) => {
                let what = format!("cannot give up the upload of s3://{}/{key}", self.bucket);
                Err(refusal::failed(&what, &DisplayErrorContext(&e), "run again"))
            }
            _ => Ok(()),
        }
    }

    /// Gives up all uploads of a folder: their parts cost money until then.
    ///
    /// # Errors
    /// `Unavailable` if the bucket does not answer.
    pub(super) async fn abort(&self, folder: &str) -> Result<()> {
        for upload in self.list(folder).await? {
            self.give_up(&upload).await?;
        }
        Ok(())
    }
}

/// The SDK's credentials for a store that asks for them with every request.
struct CachedCredentials {
    provider: SharedCredentialsProvider,
    last: Mutex<Option<Fetched>>,
}

/// Credentials, and when they expire.
struct Fetched {
    credential: Arc<AwsCredential>,
    expiry: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for CachedCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CachedCredentials")
    }
}

#[async_trait]
impl CredentialProvider for CachedCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().await;
        if let Some(Fetched { credential, expiry }) = &*last
            && expiry.is_none_or(|expiry| SystemClock.now() + EARLY < expiry)
        {
            return Ok(Arc::clone(credential));
        }
        let failed = |e| object_store::Error::Generic { store: "S3", source: Box::new(e) };
        let fresh = self.provider.provide_credentials().await.map_err(failed)?;
        let credential = Arc::new(credential(&fresh));
        *last = Some(Fetched { credential: Arc::clone(&credential), expiry: fresh.expiry().map(DateTime::from) });
        Ok(credential)
    }
}

fn credential(from: &Credentials) -> AwsCredential {
    AwsCredential {
        key_id: from.access_key_id().to_string(),
        secret_key: from.secret_access_key().to_string(),
        token: from.session_token().map(str::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_region_has_its_own_endpoint() {
        let regional = |region: &str, fips: bool, dual_stack: bool| {
            let sdk = SdkConfig::builder().use_fips(fips).use_dual_stack(dual_stack).build();
            Aws::of(sdk, None).regional(region).unwrap()
        };
        for (region, fips, dual_stack, expected) in [
            ("eu-central-1", false, false, "https://s3.eu-central-1.amazonaws.com"),
            ("us-east-1", false, false, "https://s3.us-east-1.amazonaws.com"),
            ("us-gov-west-1", true, false, "https://s3-fips.us-gov-west-1.amazonaws.com"),
            ("eu-west-1", false, true, "https://s3.dualstack.eu-west-1.amazonaws.com"),
            ("cn-north-1", false, false, "https://s3.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(regional(region, fips, dual_stack), expected);
        }
    }
}

//! The operator's side for agents: the Model Context Protocol, over HTTP at `/mcp` and over standard input and output.
//!
//! Tools and resources are `admin`'s use cases under their own names; `http` has checked the credential of each request
//! before it comes here, and says with [`Access`] what it allows. [`bridge`] carries the same to whoever starts a program
//! instead of opening a connection: `baton mcp`.
//!
//! # What never happens here
//! - Nothing is answered without an [`Access`], and none is kept for a later request. A resource that is followed tells
//!   that it has changed, and nothing else.
//! - No session or subscription is without a bound.

mod bridge;
mod resources;
mod tools;

use std::sync::Arc;

use axum::http::request::Parts;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    Implementation, ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    ResourceUpdatedNotificationParam, ServerCapabilities, ServerConfig, SubscribeRequestParams,
    SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, RoleServer, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, tool_handler};
use tokio_util::sync::CancellationToken;

use self::resources::{Followed, Place};
use crate::admin::{Access, Admin, Filter};

pub use self::bridge::{BridgeError, bridge};

/// Sessions of clients that speak an older version of the protocol; one without traffic is closed after five minutes.
pub(crate) const SESSIONS_MAX: usize = 256;
/// The largest message from a client, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1_024;

const INSTRUCTIONS: &str = "Live phone and web calls, each with one specialist agent that the caller hears: the holder of the \
    baton. Look for a call with list_calls, read what was said with get_context and what is known with get_state, write with \
    patch_state against the version you have read, and hand the call to another specialist with request_handoff. A refusal \
    says why, and what would be allowed.";

/// What `/mcp` is served by.
pub(crate) type Service = StreamableHttpService<Mcp, LocalSessionManager>;

/// One client of the protocol, or one of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Mcp {
    admin: Admin,
    followed: Arc<Followed>,
}

/// What is served under `/mcp`, and its sessions; both end when `close` is cancelled.
pub(crate) fn service(
    admin: Admin,
    close: CancellationToken,
) -> (Service, Arc<LocalSessionManager>) {
    let sessions = Arc::<LocalSessionManager>::default();
    // A foreign page cannot send the credential that every request must carry, so any host will do.
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .with_max_request_body_bytes(MESSAGE_BYTES_MAX)
        .with_cancellation_token(close);
    let client = move || {
        Ok(Mcp {
            admin: admin.clone(),
            followed: Arc::default(),
        })
    };
    let service = StreamableHttpService::new(client, sessions.clone(), config);
    (service, sessions)
}

#[tool_handler]
#[allow(
    deprecated,
    reason = "clients of the older versions subscribe by `resources/subscribe`"
)]
impl ServerHandler for Mcp {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_resources_subscribe()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("baton", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let access = access_of(&context)?;
        let calls = self
            .admin
            .calls(&access, &Filter::default())
            .map_err(|error| resources::error_data(&error))?;
        // What the visitor may only list has no resource that it could read.
        let readable = calls.calls.iter().map(|call| call.id.as_str());
        let readable = readable.filter(|id| self.admin.state(&access, id).is_ok());
        Ok(ListResourcesResult::with_all_items(resources::of_calls(
            readable,
        )))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(
            resources::templates(),
        ))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let contents = resources::read(&self.admin, &access_of(&context)?, &request.uri)?;
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let uri = request.uri;
        let place = Place::parse(&uri).ok_or_else(|| resources::not_found(&uri))?;
        let access = access_of(&context)?;
        // Says now what would keep it from being read.
        resources::read(&self.admin, &access, &uri)?;
        let (admin, peer) = (self.admin.clone(), context.peer);
        let following = async move {
            resources::follow(&admin, &access, &place, |uri| {
                let peer = peer.clone();
                async move {
                    let changed = ResourceUpdatedNotificationParam::new(uri);
                    peer.notify_resource_updated(changed).await.is_ok()
                }
            })
            .await;
        };
        if !self.followed.begin(uri, following) {
            let max = resources::FOLLOWED_MAX;
            let message = format!("this session follows {max} resources, which is the limit");
            return Err(ErrorData::invalid_request(message, None));
        }
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.followed.end(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        let uris = requested.resource_subscriptions.iter().flatten();
        let ours = uris.filter(|uri| Place::parse(uri).is_some());
        Some(
            SubscriptionFilter::builder()
                .resource_subscriptions(ours.take(resources::FOLLOWED_MAX))
                .build(),
        )
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let access = access_of(context.request_context())?;
        let accepted = context.accepted().resource_subscriptions.iter().flatten();
        let places: Vec<Place> = accepted.filter_map(|uri| Place::parse(uri)).collect();
        let sink = context.sink();
        let following = resources::follow_all(&self.admin, &access, &places, |uri| async move {
            sink.notify_resource_updated(uri).await.is_ok()
        });
        // Both arms are cancel-safe: what is dropped here is over.
        tokio::select! {
            () = following => {}
            () = context.cancelled() => {}
        }
        Ok(())
    }
}

/// What the request's credential allows.
fn access(parts: &Parts) -> Result<Access, ErrorData> {
    parts
        .extensions
        .get::<Access>()
        .cloned()
        .ok_or_else(|| ErrorData::internal_error("no credential was checked", None))
}

fn access_of(context: &RequestContext<RoleServer>) -> Result<Access, ErrorData> {
    match context.extensions.get::<Parts>() {
        Some(parts) => access(parts),
        None => Err(ErrorData::internal_error("no request came with it", None)),
    }
}

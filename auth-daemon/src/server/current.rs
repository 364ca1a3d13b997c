//! The routes that are served now; a reload puts others in their place.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use parking_lot::RwLock;
use tower::Service;

/// A router that can be replaced. Requests under way end on the one that they began with.
#[derive(Clone)]
pub(crate) struct CurrentRoutes(Arc<RwLock<Router>>);

impl CurrentRoutes {
    /// Serves `router`.
    pub(crate) fn new(router: Router) -> Self {
        Self(Arc::new(RwLock::new(router)))
    }

    /// Serves `router` from the next request on, on connections that are open as well.
    pub(crate) fn replace(&self, router: Router) {
        *self.0.write() = router;
    }
}

impl<B> Service<Request<B>> for CurrentRoutes
where
    Router: Service<
            Request<B>,
            Response = Response,
            Error = Infallible,
            Future = RouteFuture<Infallible>,
        >,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut router = self.0.read().clone();
        router.call(request)
    }
}

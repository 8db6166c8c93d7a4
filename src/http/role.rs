//! Who may do what: each role has tokens of its own.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::admission::Admission;
use super::problem::Problem;
use super::tokens::sent_token;

/// What a token lets one do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read profiles and audiences.
    Reader,
    /// See and change how the engine works. Does not read profiles.
    Admin,
}

impl Role {
    /// Lets only those who have a token of this role pass to the routes of `router`.
    pub fn guard(self, router: Router, admission: &Admission) -> Router {
        router.route_layer(from_fn_with_state((self, admission.clone()), authorize))
    }
}

async fn authorize(State((role, admission)): State<(Role, Admission)>, request: Request, next: Next) -> Response {
    let admitted = admission.now();
    let tokens = admitted.tokens(role);
    if tokens.is_empty() {
        let (code, message) = match role {
            Role::Reader => (
                "no_read_token",
                "nobody may read: the project has no read token; set `read_token` under [access] in deltaic.toml",
            ),
            Role::Admin => (
                "no_admin_token",
                "nobody may do this: the project has no admin token; set `admin_token` under [access] in deltaic.toml",
            ),
        };
        return Problem::new(StatusCode::FORBIDDEN, code, message).into_response();
    }
    if sent_token(request.headers()).and_then(|token| tokens.find(&token)).is_none() {
        let (code, message) = match role {
            Role::Reader => {
                ("unknown_read_token", "expected a read token of the project, as `Authorization: Bearer <token>`")
            }
            Role::Admin => {
                ("unknown_admin_token", "expected an admin token of the project, as `Authorization: Bearer <token>`")
            }
        };
        return Problem::new(StatusCode::UNAUTHORIZED, code, message).into_response();
    }
    next.run(request).await
}

//! Amounts of something that is used up (spec: ace.md, "Resource Isolators").

use serde_json::Value;

use super::IsolatorError;
use super::object::Object;
use crate::quantity::Quantity;

/// A request and a limit.
///
/// - For a device or an interface (`resource/block-bandwidth`, `…/block-iops`,
///   `…/network-bandwidth`) it is the default of all of them, and has no request.
/// - For `resource/cpu` and `resource/memory` it is no default.
/// - Either quantity can be absent, and neither is compared with the other here:
///   see [`IsolatorDoubt`](super::IsolatorDoubt).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    default: bool,
    request: Option<Quantity>,
    limit: Option<Quantity>,
}

impl Resource {
    /// The limit of all devices or interfaces.
    pub(super) fn of_all(name: &str, value: &Value) -> Result<Self, IsolatorError> {
        let resource = Self::parse(name, value)?;
        if !resource.default {
            return Err(IsolatorError::Default { name: name.to_owned(), wanted: true });
        }
        if resource.request.is_some() {
            return Err(IsolatorError::Request { name: name.to_owned() });
        }
        Ok(resource)
    }

    /// What the app or the pod has for itself.
    pub(super) fn of_app(name: &str, value: &Value) -> Result<Self, IsolatorError> {
        let resource = Self::parse(name, value)?;
        if resource.default {
            return Err(IsolatorError::Default { name: name.to_owned(), wanted: false });
        }
        Ok(resource)
    }

    fn parse(name: &str, value: &Value) -> Result<Self, IsolatorError> {
        let object = Object::of(name, value, &["default", "request", "limit"])?;
        let quantity = |field: &'static str| {
            let read = object.field(field).map(Quantity::from_json).transpose();
            read.map_err(|source| IsolatorError::Quantity { name: name.to_owned(), field, source })
        };
        Ok(Self {
            default: object.switch("default")?,
            request: quantity("request")?,
            limit: quantity("limit")?,
        })
    }

    /// Whether it holds for every device or interface that has no limit of its own.
    pub fn is_default(&self) -> bool {
        self.default
    }

    /// The amount that is guaranteed. Absent, it is the limit.
    pub fn request(&self) -> Option<&Quantity> {
        self.request.as_ref()
    }

    /// The amount that cannot be exceeded.
    pub fn limit(&self) -> Option<&Quantity> {
        self.limit.as_ref()
    }
}

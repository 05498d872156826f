//! Names and identities, each its own type so that one cannot stand where another belongs.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Moment;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identity as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// An app's name in the configuration.
    AppName
}
id! {
    /// A platform account's name in the configuration.
    PlatformName
}
id! {
    /// The platform's own id of an app.
    PlatformAppId
}
id! {
    /// The platform's own id of a deployment.
    DeploymentId
}
id! {
    /// A probe's name, unique within its app.
    ProbeName
}
id! {
    /// A rule's name, unique within its app.
    RuleName
}
id! {
    /// The name of a place where people are told, in the configuration.
    ChannelName
}
id! {
    /// An incident's id, `APP-xxxxxxxx`.
    IncidentId
}
id! {
    /// Who gave a word, as they call themselves: whoever holds the admin token may say any name.
    Caller
}

impl IncidentId {
    /// The id of the one incident a deployment can have. It follows from its arguments, so the decision core
    /// needs no source of chance and a crash between deciding and recording cannot give an incident two ids.
    pub fn of(app: &AppName, accused: &DeploymentId) -> Self {
        Self::hashed(app, accused, &[])
    }

    /// The id of what a person asked for at that moment. A deployment may have any number of them.
    pub fn asked(app: &AppName, live: &DeploymentId, at: Moment) -> Self {
        Self::hashed(app, live, &at.as_millis().to_be_bytes())
    }

    fn hashed(app: &AppName, deployment: &DeploymentId, more: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(app.as_str());
        hash.update([0]);
        hash.update(deployment.as_str());
        hash.update(more);
        let digest = hash.finalize();
        let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Self::from(format!("{app}-{short}"))
    }
}

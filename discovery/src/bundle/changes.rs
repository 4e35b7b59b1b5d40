//! What a caller changes of what an image says about running it.

use std::collections::BTreeMap;

use aci::isolator::name;
use aci::manifest::{App, EnvironmentVariable, Isolator};

use super::BundleError;

/// What to run otherwise than the image says.
#[derive(Debug, Clone, Default)]
pub struct AppChanges {
    /// A program in the place of the image's program and arguments.
    pub exec: Option<String>,
    /// Arguments after the image's own.
    pub arguments: Vec<String>,
    /// The user, as the image would name it: a name, a number, or `/path`.
    pub user: Option<String>,
    /// The group, likewise.
    pub group: Option<String>,
    /// More groups, in the place of the image's.
    pub supplementary_gids: Option<Vec<u32>>,
    /// Where the program starts.
    pub working_directory: Option<String>,
    /// Variables, before the image's own of the same name; the last of a name counts.
    pub environment: Vec<(String, String)>,
    /// Isolators, each in the place of those it cannot stand beside.
    pub isolators: Vec<Isolator>,
    /// Annotations of the user's own, in the place of the image's of the same name.
    pub user_annotations: Vec<(String, String)>,
    /// Labels of the user's own, likewise.
    pub user_labels: Vec<(String, String)>,
}

/// Isolators of which one kind only can be.
const ALTERNATIVES: [[&str; 2]; 2] = [
    [name::CAPABILITIES_RETAIN, name::CAPABILITIES_REMOVE],
    [name::SECCOMP_RETAIN, name::SECCOMP_REMOVE],
];

impl AppChanges {
    /// The app with these changes. An image without an app needs a program to be named.
    pub fn apply(&self, app: Option<&App>) -> Result<App, BundleError> {
        let mut app = match (app, &self.exec) {
            (Some(app), _) => app.clone(),
            (None, None) => return Err(BundleError::NoApp),
            (None, Some(_)) => root_app(),
        };
        if let Some(program) = &self.exec {
            app.exec = vec![program.clone()];
        }
        app.exec.extend(self.arguments.iter().cloned());
        let texts = [(&mut app.user, &self.user), (&mut app.group, &self.group)];
        for (field, wanted) in texts {
            if let Some(wanted) = wanted {
                field.clone_from(wanted);
            }
        }
        if let Some(groups) = &self.supplementary_gids {
            app.supplementary_gids.clone_from(groups);
        }
        if self.working_directory.is_some() {
            app.working_directory.clone_from(&self.working_directory);
        }
        for (name, value) in &self.environment {
            let known = app.environment.iter_mut().find(|variable| variable.name == *name);
            match known {
                Some(variable) => variable.value.clone_from(value),
                None => app.environment.push(EnvironmentVariable {
                    name: name.clone(),
                    value: value.clone(),
                    extra: Default::default(),
                }),
            }
        }
        let replaced = |old: &Isolator| {
            self.isolators.iter().any(|new| {
                let (old, new) = (old.name.as_str(), new.name.as_str());
                old == new
                    || ALTERNATIVES.iter().any(|set| set.contains(&old) && set.contains(&new))
            })
        };
        app.isolators.retain(|isolator| !replaced(isolator));
        app.isolators.extend(self.isolators.iter().cloned());
        app.user_annotations.extend(self.user_annotations.iter().cloned());
        app.user_labels.extend(self.user_labels.iter().cloned());
        Ok(app)
    }
}

/// The app of an image that has none, for a caller who names a program.
pub(super) fn root_app() -> App {
    App {
        exec: Vec::new(),
        user: "0".to_owned(),
        group: "0".to_owned(),
        supplementary_gids: Vec::new(),
        event_handlers: Vec::new(),
        working_directory: None,
        environment: Vec::new(),
        isolators: Vec::new(),
        mount_points: Vec::new(),
        ports: Vec::new(),
        user_annotations: BTreeMap::new(),
        user_labels: BTreeMap::new(),
        extra: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::tests::{app, isolators};

    #[test]
    fn changes_replace_what_cannot_stand_beside_them() {
        let mut image = app(&["/x", "a"]);
        image.user_annotations = [("known", "old"), ("other", "kept")].map(owned).into();
        image.isolators = isolators(
            r#"[{"name":"os/linux/capabilities-remove-set","value":{"set":["CAP_KILL"]}},
                {"name":"resource/memory","value":{"limit":"1G"}},
                {"name":"resource/cpu","value":{"limit":"1"}}]"#,
        );
        let changes = AppChanges {
            arguments: vec!["b".into()],
            user: Some("7".into()),
            environment: vec![("A".into(), "1".into()), ("A".into(), "2".into())],
            user_annotations: vec![("known".into(), "new".into())],
            user_labels: vec![("role".into(), "web".into())],
            isolators: isolators(
                r#"[{"name":"os/linux/capabilities-retain-set","value":{"set":["CAP_KILL"]}},
                    {"name":"resource/memory","value":{"limit":"2G"}}]"#,
            ),
            ..AppChanges::default()
        };
        let changed = changes.apply(Some(&image)).unwrap();
        assert_eq!(changed.exec, ["/x", "a", "b"]);
        assert_eq!((changed.user.as_str(), changed.group.as_str()), ("7", "0"));
        assert_eq!(changed.environment.len(), 1);
        assert_eq!(changed.environment[0].value, "2");
        let names: Vec<&str> = changed.isolators.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, [name::CPU, name::CAPABILITIES_RETAIN, name::MEMORY]);
        assert_eq!(changed.isolators[2].value["limit"], "2G");
        let annotations = [("known", "new"), ("other", "kept")].map(owned);
        assert_eq!(changed.user_annotations, annotations.into());
        assert_eq!(changed.user_labels, [("role", "web")].map(owned).into());
    }

    fn owned((name, value): (&str, &str)) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn image_without_an_app_needs_a_program() {
        assert!(matches!(AppChanges::default().apply(None), Err(BundleError::NoApp)));
        let changes = AppChanges { exec: Some("/x".into()), ..AppChanges::default() };
        assert_eq!(changes.apply(None).unwrap().exec, ["/x"]);
    }
}

//! Courses on another platform, and what it leaves open.

use super::super::{Course, Event};
use super::Dice;
use crate::lab::{Action, AppKind, Hint, NullImage, RollbackRule, RollbackTrigger, Source, Unknowns};

impl Course {
    /// On Sevalla, where the platform picks, pins softly or not at all, and has neither commit nor revert.
    pub(super) fn elsewhere(&mut self, dice: &mut Dice) {
        let source = dice.of(&[
            Source::PrivateGit,
            Source::PrivateGit,
            Source::PrivateGit,
            Source::PublicGit,
            Source::DockerImage,
            Source::StaticSite,
        ]);
        self.kind = AppKind::sevalla(source);
        self.restart_first = dice.once_in(3);
        let rules = [
            RollbackRule::PreviousRow,
            RollbackRule::PreviousRow,
            RollbackRule::PreviousDistinct,
            RollbackRule::LatestSuccess,
        ];
        let triggers = [
            RollbackTrigger::RollbackDeployment,
            RollbackTrigger::RollbackDeployment,
            RollbackTrigger::ManualDeploy,
            RollbackTrigger::Unheard,
        ];
        self.unknowns = Unknowns {
            rollback_rule: dice.of(&rules),
            nothing_to_roll_back: dice.of(&[404, 500]),
            null_image: dice.of(&[
                NullImage::Never,
                NullImage::Never,
                NullImage::UntilItEnds,
                NullImage::ForEver,
            ]),
            rollback_trigger: dice.of(&triggers),
            patch_ignored: dice.once_in(8),
            hook_enabled: dice.flip(),
            ..self.unknowns
        };
        for (_, event) in &mut self.events {
            // What people do there instead.
            match event {
                Event::Person(
                    app,
                    Action::Commit | Action::Revert | Action::Maintenance | Action::Autoscale,
                ) => *event = Event::Person(*app, Action::SetAutoDeploy { on: dice.flip() }),
                Event::Meets(_, met) => {
                    if let [Event::Person(_, action @ Action::Revert)] = &mut met[..] {
                        *action = Action::SetAutoDeploy { on: false };
                    }
                }
                _ => {}
            }
        }
        if source == Source::StaticSite && dice.once_in(3) {
            self.unknowns.honour_site_target = Hint::Ignored;
        }
        if self.unknowns.null_image == NullImage::ForEver && dice.flip() {
            self.unknowns.null_image = NullImage::ImageForEver;
        }
    }
}

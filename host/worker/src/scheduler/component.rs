//! What tasks of a component cost, whichever queues they are of: where a lane begins that has run none.

use std::collections::HashMap;

use saggar_model::Digest;

use super::cost::Cost;

/// The components of the lanes that are open.
#[derive(Debug, Default)]
pub(super) struct Components(HashMap<Digest, Component>);

#[derive(Debug, Default)]
struct Component {
    /// What the lane showed whose tasks ended last.
    shown: Option<Cost>,
    /// Lanes that run it; what is known of it goes with the last of them.
    lanes: u32,
}

impl Components {
    /// A lane runs another component, or one where there was none.
    pub(super) fn replace(&mut self, before: Option<Digest>, after: Option<Digest>) {
        if let Some(digest) = after {
            self.0.entry(digest).or_default().lanes += 1;
        }
        if let Some(digest) = before
            && let Some(known) = self.0.get_mut(&digest)
        {
            known.lanes -= 1;
            if known.lanes == 0 {
                self.0.remove(&digest);
            }
        }
    }

    /// Tasks of a lane have ended, and this is what they show.
    pub(super) fn learn(&mut self, digest: Option<Digest>, cost: &Cost) {
        if let Some(known) = digest.and_then(|digest| self.0.get_mut(&digest)) {
            known.shown = cost.as_guess();
        }
    }

    /// What to expect of a lane that has shown nothing itself, if any other has.
    pub(super) fn expected(&self, digest: Option<Digest>) -> Option<Cost> {
        self.0.get(&digest?)?.shown
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

//! What a visitor of the operator's side may see and change.

use call::SpecialistName;

/// What somebody may do. It is made by whoever has checked a credential, and asked by every use case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    list: bool,
    reach: Reach,
    /// As whom it sees what is said and known in a call.
    view: Option<SpecialistName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reach {
    Nothing,
    Room(String),
    Everything,
}

impl Access {
    /// Everything, personal data included: the operator's own token, or the process's own standard input.
    pub fn operator() -> Self {
        Self {
            list: true,
            reach: Reach::Everything,
            view: None,
        }
    }

    /// What LiveKit's grants allow: `room_list` to see which calls there are, without personal data; `room_admin` for a
    /// room to see and steer the call in it, as it can be seen and steered at LiveKit's own API.
    pub fn grants(room_list: bool, room_admin: bool, room: &str) -> Self {
        Self {
            list: room_list,
            reach: if room_admin && !room.is_empty() {
                Reach::Room(room.to_owned())
            } else {
                Reach::Nothing
            },
            view: None,
        }
    }

    /// The same, but of what is said and known in a call no more than this specialist may see and write.
    #[must_use]
    pub fn seeing_as(self, specialist: &str) -> Self {
        Self {
            view: Some(SpecialistName::from(specialist)),
            ..self
        }
    }

    /// The specialist as which it sees calls, if it does not see all of them.
    pub(super) fn view(&self) -> Option<&SpecialistName> {
        self.view.as_ref()
    }

    /// Whether it may do anything at all.
    pub fn is_any(&self) -> bool {
        self.list || self.reach != Reach::Nothing
    }

    /// Whether it may see that this room's call exists.
    pub fn lists(&self, room: &str) -> bool {
        self.list || self.steers(room)
    }

    /// Whether it may see all of this room's call, personal data included, and steer it.
    pub fn steers(&self, room: &str) -> bool {
        match &self.reach {
            Reach::Nothing => false,
            Reach::Room(own) => own == room,
            Reach::Everything => true,
        }
    }

    /// Whether it may steer the process itself.
    pub fn is_operator(&self) -> bool {
        self.reach == Reach::Everything
    }
}

#[cfg(test)]
mod tests {
    use super::Access;

    #[test]
    fn a_list_grant_shows_every_call_and_steers_none() {
        let access = Access::grants(true, false, "");
        assert!(access.is_any() && access.lists("one") && !access.steers("one"));
    }

    #[test]
    fn a_room_admin_steers_its_room_alone() {
        let access = Access::grants(false, true, "one");
        assert!(access.lists("one") && access.steers("one"));
        assert!(!access.lists("two") && !access.steers("two") && !access.is_operator());
    }

    #[test]
    fn an_admin_grant_without_a_room_is_none() {
        assert!(!Access::grants(false, true, "").is_any());
        assert!(!Access::grants(false, false, "one").is_any());
    }
}

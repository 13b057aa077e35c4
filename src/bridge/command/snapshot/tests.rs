use crate::bridge::scene::Scene;
use crate::bridge_settings;
use crate::config::Config;

#[test]
fn a_snapshot_of_a_room_holds_who_is_in_it_and_nobody_else() {
    let mut scene = Scene::new(bridge_settings(&Config::default(), 1));
    let (here, there) = (scene.joined("here"), scene.joined("there"));
    scene.connected(["a", "b"]);
    let room = scene.leg(here.leg).room.unwrap();

    let of_room = scene.bridge().api_snapshot(&[room]);
    let of_all = scene.bridge().api_snapshot(&[]);

    assert_eq!(of_room.rooms.len(), 1);
    assert_eq!(of_room.participants.iter().map(|one| one.leg).collect::<Vec<_>>(), [here.leg]);
    assert_eq!(of_room.legs.iter().map(|leg| leg.id).collect::<Vec<_>>(), [here.leg]);
    assert!(of_room.calls.is_empty());
    assert_eq!((of_all.rooms.len(), of_all.calls.len(), of_all.legs.len()), (2, 1, 4));
    assert!(of_all.participants.iter().any(|one| one.leg == there.leg));
}

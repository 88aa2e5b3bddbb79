//! From a figure to a world: a camera that frames it, surroundings, light.

use crate::scenes::{
    camera::Camera,
    classes,
    landscape::{daylight, hills, soil, surface},
    math::{Basis, Vec3, least, most, vec3},
    object::{Setting, build},
    rng::Stream,
    shape::Shape,
    texture::Material,
    thing::Thing,
    world::World,
};

/// The ground ends this many metres from the figure.
const HORIZON: f32 = 70.0;

/// What may stand behind a figure; none of it belongs to a domain.
const BEHIND: [u8; 8] = [
    classes::BOX,
    classes::BALL,
    classes::COLUMN,
    classes::CONE,
    classes::TREE,
    classes::TREE,
    classes::HOUSE,
    classes::VASE,
];

/// A figure of some class and how it is to be photographed.
pub(super) struct Subject {
    /// What the camera frames.
    pub(super) figure: Thing,
    /// What carries the figure, in its frame; it may leave the picture.
    pub(super) support: Thing,
    /// Height of the figure's origin above the ground.
    pub(super) lift: f32,
    /// Turn of the figure about the vertical: at 0 it looks away from the camera, at pi towards it.
    pub(super) heading: f32,
    /// Bank and climb of the figure, before it is turned.
    pub(super) lean: Basis,
    /// Angle of the camera above the horizon; it looks down where negative.
    pub(super) pitch: f32,
    /// Whether things stand behind the figure.
    pub(super) crowded: bool,
}

/// A thing of this data set; its class is never looked at, since no pixel gets a label.
pub(super) fn part() -> Thing {
    Thing::new(classes::BOX)
}

/// The world around a subject, for pictures `aspect` times as wide as high.
///
/// The larger side of the figure takes 70 to 95 percent of the picture's, or nearly. With less
/// `variety` more pictures have plain ground, no hills and nothing behind the figure, which stands
/// nearer to the middle.
pub(super) fn stage(rng: &mut Stream, subject: &Subject, aspect: f32, variety: f32) -> World {
    let yaw = rng.range(-3.1, 3.1);
    let mut camera = Camera::aimed(rng, Vec3::ZERO, yaw, subject.pitch);
    camera.tangent = rng.range(0.26, 0.42);
    let turn = Basis::yaw(yaw + subject.heading).compose(subject.lean);
    let origin = vec3(0.0, subject.lift, 0.0);
    let distance = frame(rng, &mut camera, subject, turn, aspect, variety);
    let (light, mut air) = daylight(rng, yaw);
    // Details must survive the haze, also those of aircraft, which are photographed from afar.
    air.density *= 0.3;
    let mut world = World::new(camera, light, air);
    let (soil, bare) = (soil(rng), !rng.chance(variety));
    let soil = if bare { Material::plain(rng, soil.colours[0]) } else { soil };
    world.surface(surface(Shape::Ground(HORIZON), Vec3::ZERO, soil), &[classes::GROUND]);
    if !bare {
        hills(rng, &mut world);
    }
    world.place(&subject.support, origin, turn);
    world.place(&subject.figure, origin, turn);
    if subject.crowded && !bare {
        crowd(rng, &mut world, subject.figure.radius(), distance, aspect);
    }
    world
}

/// Moves the camera to where the figure fills the picture; returns its distance from the figure.
fn frame(
    rng: &mut Stream,
    camera: &mut Camera,
    subject: &Subject,
    turn: Basis,
    aspect: f32,
    variety: f32,
) -> f32 {
    let (figure, origin) = (&subject.figure, vec3(0.0, subject.lift, 0.0));
    let axes = camera.basis;
    let [across, up, along] = [axes.x, axes.y, axes.z].map(|axis| span(figure, turn, axis));
    let share = rng.range(0.7, 0.95);
    let half = |(low, high): (f32, f32)| 0.5 * (high - low);
    let middle = |(low, high): (f32, f32)| 0.5 * (low + high);
    let fit = most(half(up), half(across) / aspect) / (camera.tangent * share);
    // The front of a figure is nearer, and larger, than its middle.
    let distance = fit + 0.35 * half(along);
    let seen = camera.tangent * fit;
    let [x, y] = [seen * aspect - half(across), seen - half(up)]
        .map(|slack| variety * rng.range(-0.8, 0.8) * most(slack, 0.0));
    let eye = origin
        + axes.x * (middle(across) + x)
        + axes.y * (middle(up) + y)
        + axes.z * (middle(along) - distance);
    camera.eye = vec3(eye.x, most(eye.y, 0.1 * distance), eye.z);
    distance
}

/// Where a figure turned by `turn` begins and ends along a unit vector of the world.
fn span(figure: &Thing, turn: Basis, axis: Vec3) -> (f32, f32) {
    let axis = turn.to_local(axis);
    figure.solids.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), solid| {
        let (centre, local) = (solid.centre.dot(axis), solid.basis.to_local(axis));
        let (back, front) = (solid.shape.support(-local), solid.shape.support(local));
        (least(low, centre - back), most(high, centre + front))
    })
}

/// Up to three things behind the figure, about as large as it is.
fn crowd(rng: &mut Stream, world: &mut World, radius: f32, distance: f32, aspect: f32) {
    let camera = world.camera;
    let forward = vec3(camera.basis.z.x, 0.0, camera.basis.z.z).unit();
    let right = vec3(forward.z, 0.0, -forward.x);
    for _ in 0..rng.below(4) {
        let class = rng.pick(&BEHIND);
        let thing = build(rng, class, Setting::Landscape);
        let factor = radius * rng.range(0.4, 1.3) / thing.radius();
        let thing = thing.scaled(factor);
        let behind = radius * rng.range(2.5, 6.0);
        let wide = camera.tangent * aspect * (distance + behind);
        let place = forward * behind + right * (rng.range(-1.0, 1.0) * wide);
        world.place(&thing, place, Basis::yaw(rng.turn()));
    }
}

//! Articulated people: six named parts in a pose drawn at random.

use super::{
    classes,
    math::{Basis, Vec3, vec3},
    rng::Stream,
    shape::Shape,
    texture::Material,
    thing::Thing,
};

/// Human parts in the order of MTLoRA's PASCAL-Context labels; 0 is the background.
pub(crate) const HEAD: u8 = 1;
pub(crate) const TORSO: u8 = 2;
pub(crate) const UPPER_ARM: u8 = 3;
pub(crate) const LOWER_ARM: u8 = 4;
pub(crate) const UPPER_LEG: u8 = 5;
pub(crate) const LOWER_LEG: u8 = 6;

/// Angles of one limb in radians: forwards, sideways, and how far the lower half bends on top.
#[derive(Clone, Copy)]
struct Swing {
    forward: f32,
    aside: f32,
    bend: f32,
}

struct Clothes {
    skin: Material,
    hair: Material,
    shirt: Material,
    trousers: Material,
    shoes: Material,
    long_sleeves: bool,
    long_legs: bool,
}

impl Clothes {
    fn draw(rng: &mut Stream) -> Clothes {
        let brown = rng.range(0.25, 0.6);
        let skin = rng.tint(brown, [0.2, 0.55], [0.4, 0.98]);
        let hair = rng.tint(brown, [0.1, 0.8], [0.08, 0.75]);
        let mut skin = Material::plain(rng, skin);
        skin.grain = 0.1;
        Clothes {
            skin,
            hair: Material::plain(rng, hair),
            shirt: Material::any(rng, 0.6),
            trousers: Material::any(rng, 0.6),
            shoes: Material::any(rng, 0.6),
            long_sleeves: rng.chance(0.5),
            long_legs: rng.chance(0.65),
        }
    }
}

/// The body being built: all lengths are shares of its height until it is scaled.
struct Body {
    thing: Thing,
    stout: f32,
}

impl Body {
    fn part(&mut self, part: u8, shape: Shape, centre: Vec3, basis: Basis, material: Material) {
        self.thing.turned(shape, centre, basis, material);
        if let Some(solid) = self.thing.solids.last_mut() {
            solid.part = part;
        }
    }

    /// A rounded rod from `from` along `direction`; returns its other end.
    fn rod(
        &mut self,
        part: u8,
        from: Vec3,
        direction: Vec3,
        size: [f32; 2],
        material: Material,
    ) -> Vec3 {
        let [length, radius] = size;
        let shape = Shape::Capsule { half: 0.5 * length, radius: radius * self.stout };
        let centre = from + direction * (0.5 * length);
        self.part(part, shape, centre, Basis::along(direction), material);
        from + direction * length
    }
}

/// Unit vector of a limb that hangs down at angles zero; `side` is -1 left, 1 right.
fn hang(forward: f32, aside: f32, side: f32) -> Vec3 {
    let ((sa, ca), (ss, cs)) = (libm::sincosf(forward), libm::sincosf(aside));
    vec3(side * ss * ca, -cs * ca, sa)
}

/// A person of 1.1 to 1.95 m in any pose.
pub(crate) fn person(rng: &mut Stream) -> Thing {
    let clothes = Clothes::draw(rng);
    let mut body = Body { thing: Thing::new(classes::PERSON), stout: rng.range(0.9, 1.3) };
    let lean = rng.range(-0.08, 0.08) + if rng.chance(0.2) { rng.range(0.2, 0.8) } else { 0.0 };
    let (s, c) = libm::sincosf(lean);
    let trunk = Basis { x: Vec3::X, y: vec3(0.0, c, s), z: vec3(0.0, -s, c) };
    upper(rng, &mut body, trunk, &clothes);
    let squat = rng.chance(0.15);
    let stride = rng.range(-0.6, 0.6);
    for side in [-1.0, 1.0] {
        let swing = leg_swing(rng, squat, stride * side);
        leg(&mut body, side, swing, &clothes);
    }
    for side in [-1.0, 1.0] {
        let swing = arm_swing(rng, stride * side);
        arm(&mut body, trunk, side, swing, &clothes);
    }
    let mut thing = body.thing.scaled(rng.range(1.1, 1.95));
    thing.settle();
    thing
}

/// Torso, neck and head above the hips, which are the origin.
fn upper(rng: &mut Stream, body: &mut Body, trunk: Basis, clothes: &Clothes) {
    let stout = body.stout;
    let at = |height: f32, forward: f32| trunk.y * height + trunk.z * forward;
    let hips = Shape::Ellipsoid(vec3(0.095 * stout, 0.075, 0.07 * stout));
    body.part(TORSO, hips, at(0.01, 0.0), trunk, clothes.trousers);
    let chest = Shape::Ellipsoid(vec3(0.108 * stout, 0.175, 0.068 * stout));
    body.part(TORSO, chest, at(0.165, 0.0), trunk, clothes.shirt);
    body.rod(HEAD, at(0.29, 0.0), trunk.y, [0.08, 0.03], clothes.skin);
    let nod = Basis::yaw(rng.range(-0.7, 0.7));
    let skull = Shape::Ellipsoid(vec3(0.056, 0.075, 0.065));
    body.part(HEAD, skull, at(0.41, 0.01), trunk.compose(nod), clothes.skin);
    let cap = Shape::Ellipsoid(vec3(0.06, 0.062, 0.066));
    body.part(HEAD, cap, at(0.435, -0.006), trunk.compose(nod), clothes.hair);
}

fn leg_swing(rng: &mut Stream, squat: bool, stride: f32) -> Swing {
    if squat {
        return Swing {
            forward: rng.range(1.0, 1.5),
            aside: rng.range(0.05, 0.4),
            bend: -rng.range(1.6, 2.1),
        };
    }
    let bend = if stride < 0.0 { rng.range(0.1, 1.1) } else { rng.range(0.0, 0.25) };
    Swing { forward: stride, aside: rng.range(0.02, 0.25), bend: -bend }
}

fn arm_swing(rng: &mut Stream, stride: f32) -> Swing {
    match rng.below(4) {
        0 => Swing {
            forward: rng.range(-0.3, 0.4),
            aside: rng.range(1.2, 2.7),
            bend: rng.range(-0.4, 0.9),
        },
        1 => Swing {
            forward: rng.range(0.6, 1.7),
            aside: rng.range(0.0, 0.5),
            bend: rng.range(0.0, 1.3),
        },
        _ => Swing { forward: -stride, aside: rng.range(0.1, 0.4), bend: rng.range(0.1, 0.9) },
    }
}

fn leg(body: &mut Body, side: f32, swing: Swing, clothes: &Clothes) {
    let hip = vec3(0.055 * side, -0.02, 0.0);
    let knee = body.rod(
        UPPER_LEG,
        hip,
        hang(swing.forward, swing.aside, side),
        [0.235, 0.048],
        clothes.trousers,
    );
    let shin = if clothes.long_legs { clothes.trousers } else { clothes.skin };
    let down = hang(swing.forward + swing.bend, swing.aside, side);
    let ankle = body.rod(LOWER_LEG, knee, down, [0.225, 0.036], shin);
    let toes = (Vec3::Z + down * 0.2).unit();
    body.rod(LOWER_LEG, ankle - toes * 0.02, toes, [0.09, 0.03], clothes.shoes);
}

fn arm(body: &mut Body, trunk: Basis, side: f32, swing: Swing, clothes: &Clothes) {
    let shoulder = trunk.y * 0.275 + trunk.x * (0.115 * side * body.stout);
    let upper = trunk.to_outer(hang(swing.forward, swing.aside, side));
    let elbow = body.rod(UPPER_ARM, shoulder, upper, [0.16, 0.034], clothes.shirt);
    let sleeve = if clothes.long_sleeves { clothes.shirt } else { clothes.skin };
    let lower = trunk.to_outer(hang(swing.forward + swing.bend, swing.aside, side));
    let wrist = body.rod(LOWER_ARM, elbow, lower, [0.15, 0.027], sleeve);
    body.rod(LOWER_ARM, wrist, lower, [0.035, 0.03], clothes.skin);
}

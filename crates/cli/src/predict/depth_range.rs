//! Depths between which colours run.

use polyptych_engine::{Prediction, Predictor};

/// Where the colours of depth begin and end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum DepthRange {
    Metres([f32; 2]),
    All,
}

impl std::str::FromStr for DepthRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let metres = |part: &str| part.trim().parse::<f32>().ok().filter(|m| m.is_finite());
        let pair = text.split_once(',').and_then(|(a, b)| Some([metres(a)?, metres(b)?]));
        match pair {
            _ if text == "all" => Ok(Self::All),
            Some([near, far]) if 0.0 <= near && near < far => Ok(Self::Metres([near, far])),
            _ => Err(format!(
                "expected two depths in metres, the nearer one first, such as 0.5,10, or `all`, \
                 found {text}"
            )),
        }
    }
}

/// The union of ranges, as pictures are seen.
pub(super) fn widened(
    range: Option<[f32; 2]>,
    predictor: &Predictor,
    seen: &Prediction,
) -> Option<[f32; 2]> {
    let all = [range, predictor.depth_range(seen)].into_iter().flatten();
    all.reduce(|[a, b], [c, d]| [a.min(c), b.max(d)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_depth_are_read() {
        assert_eq!("0.5,10".parse(), Ok(DepthRange::Metres([0.5, 10.0])));
        assert_eq!("0, 80".parse(), Ok(DepthRange::Metres([0.0, 80.0])));
        assert_eq!("all".parse(), Ok(DepthRange::All));
        for wrong in ["", "10", "10,1", "1,1", "-1,2", "nan,3", "1,inf", "1,2,3"] {
            assert!(wrong.parse::<DepthRange>().is_err(), "{wrong}");
        }
    }
}

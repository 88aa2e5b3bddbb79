//! Curves as inline SVG: coloured by the page's style, and described in words to a screen reader.

use maud::{Markup, html};

/// Measures of a chart, in units of its view box: about the pixels that a card has, so that letters
/// are as large as they say.
const SIZE: [f64; 2] = [400.0, 230.0];
/// Left, top, right and bottom of the area of the curves.
const AREA: [f64; 4] = [68.0, 10.0, 390.0, 186.0];
/// Points of a curve; more are averaged.
const POINTS: usize = 240;
/// Rows of a chart's table.
const ROWS: usize = 9;
/// Colours of the style, which come again.
pub(super) const COLOURS: usize = 6;

/// One curve.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// What kind of axis values have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    /// Values above 0.
    Logarithmic,
}

/// Curves over one axis.
#[derive(Debug, Clone)]
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    pub(super) x_scale: Scale,
    pub(super) lines: Vec<Line>,
    /// Whether the area below the first curve is filled, and points are not averaged.
    pub(super) filled: bool,
}

impl Chart<'_> {
    /// The figure; nothing without a point.
    pub(super) fn draw(&self) -> Markup {
        let lines: Vec<Line> =
            self.lines.iter().filter(|l| !l.points.is_empty()).cloned().collect();
        if lines.is_empty() {
            return html! {};
        }
        let frame = Frame::around(&lines, self.x_scale, self.filled);
        let words = lines.iter().map(spoken).collect::<Vec<_>>().join("; ");
        html! {
            figure.chart {
                figcaption { (self.title) }
                svg viewBox={ "0 0 " (SIZE[0]) " " (SIZE[1]) } role="img"
                    aria-label={ (self.title) ". " (words) } {
                    (frame.axes(self.x, self.y))
                    @for (place, line) in lines.iter().enumerate() {
                        @if self.filled && place == 0 {
                            path class={ "area c" (place % COLOURS) } d=(frame.area(&line.points)) {}
                        }
                        path class={ "line c" (place % COLOURS) }
                            d=(frame.path(&if self.filled { line.points.clone() } else { averaged(&line.points) })) {
                            title { (line.name) }
                        }
                        @if line.points.len() <= 40 && !self.filled {
                            @for &(x, y) in &line.points {
                                circle class={ "dot c" (place % COLOURS) }
                                    cx=(number(frame.x(x))) cy=(number(frame.y(y))) r="3" {
                                    title { (line.name) ": " (short(y)) " at " (short(x)) }
                                }
                            }
                        }
                    }
                }
                @if lines.len() > 1 {
                    ul.legend {
                        @for (place, line) in lines.iter().enumerate() {
                            li { span class={ "swatch c" (place % COLOURS) } {} (line.name) }
                        }
                    }
                }
                (self.table(&lines))
            }
        }
    }

    /// Some of the numbers, for those who do not see the curves.
    fn table(&self, lines: &[Line]) -> Markup {
        let xs = spread(&lines[0].points.iter().map(|point| point.0).collect::<Vec<_>>());
        html! {
            details {
                summary { "Numbers" }
                div.scroll tabindex="0" role="region" aria-label={ "Numbers of " (self.title) } {
                    table {
                        thead { tr {
                            th scope="col" { (self.x) }
                            @for line in lines { th scope="col" { (line.name) } }
                        } }
                        tbody {
                            @for x in xs { tr {
                                th scope="row" { (short(x)) }
                                @for line in lines { td { (at(&line.points, x)) } }
                            } }
                        }
                    }
                }
            }
        }
    }
}

/// Where values lie in the picture.
struct Frame {
    x: [f64; 2],
    y: [f64; 2],
    x_scale: Scale,
    /// The one place of all values, where there is no other.
    only_x: Option<f64>,
}

impl Frame {
    fn around(lines: &[Line], x_scale: Scale, from_zero: bool) -> Self {
        let all = || lines.iter().flat_map(|line| &line.points);
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], v| [a.min(v), b.max(v)])
        };
        let mut x = ends(&mut all().map(|point| point.0));
        let mut y = ends(&mut all().map(|point| point.1));
        let only_x = (x[0] == x[1]).then_some(x[0]);
        if only_x.is_some() {
            let room = (0.1 * x[0].abs()).max(1.0);
            x = [x[0] - room, x[1] + room];
        }
        if from_zero {
            y[0] = 0.0;
        }
        let room = if y[1] > y[0] { 0.06 * (y[1] - y[0]) } else { y[0].abs().max(1.0) * 0.1 };
        let low = if from_zero || (y[0] >= 0.0 && y[0] < room) { y[0] } else { y[0] - room };
        Self { x, y: [low, y[1] + room], x_scale, only_x }
    }

    fn x(&self, value: f64) -> f64 {
        let of = |v: f64| if self.x_scale == Scale::Logarithmic { v.max(1e-12).ln() } else { v };
        let share = (of(value) - of(self.x[0])) / (of(self.x[1]) - of(self.x[0]));
        AREA[0] + share * (AREA[2] - AREA[0])
    }

    fn y(&self, value: f64) -> f64 {
        AREA[3] - (value - self.y[0]) / (self.y[1] - self.y[0]) * (AREA[3] - AREA[1])
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let step = |(index, &(x, y)): (usize, &(f64, f64))| {
            format!(
                "{}{} {}",
                if index == 0 { 'M' } else { 'L' },
                number(self.x(x)),
                number(self.y(y))
            )
        };
        points.iter().enumerate().map(step).collect()
    }

    fn area(&self, points: &[(f64, f64)]) -> String {
        let [first, last] =
            [points.first(), points.last()].map(|end| end.map_or(0.0, |p| self.x(p.0)));
        let ground = number(AREA[3]);
        format!("{}L{} {ground}L{} {ground}Z", self.path(points), number(last), number(first))
    }

    fn axes(&self, x_name: &str, y_name: &str) -> Markup {
        let xs = match (self.only_x, self.x_scale) {
            (Some(x), _) => vec![x],
            (None, Scale::Linear) => ticks(self.x),
            (None, Scale::Logarithmic) => decades(self.x),
        };
        html! {
            g.grid aria-hidden="true" {
                @for y in ticks(self.y) {
                    line x1=(AREA[0]) x2=(AREA[2]) y1=(number(self.y(y))) y2=(number(self.y(y))) {}
                    text x=(AREA[0] - 6.0) y=(number(self.y(y) + 4.0)) text-anchor="end" { (short(y)) }
                }
                @for x in xs {
                    text x=(number(self.x(x))) y=(AREA[3] + 16.0) text-anchor="middle" { (short(x)) }
                }
                line.ground x1=(AREA[0]) x2=(AREA[2]) y1=(AREA[3]) y2=(AREA[3]) {}
                text.name x=((AREA[0] + AREA[2]) / 2.0) y=(SIZE[1] - 6.0) text-anchor="middle" { (x_name) }
                text.name transform={ "translate(11 " (f64::midpoint(AREA[1], AREA[3])) ") rotate(-90)" }
                    text-anchor="middle" { (y_name) }
            }
        }
    }
}

/// About five round numbers between two ends.
fn ticks([low, high]: [f64; 2]) -> Vec<f64> {
    let raw = (high - low) / 5.0;
    let unit = 10f64.powf(raw.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * unit).find(|step| *step >= raw);
    let step = step.unwrap_or(unit * 10.0);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|count| count as f64 * step).collect()
}

/// Powers of ten between two ends.
fn decades([low, high]: [f64; 2]) -> Vec<f64> {
    let (first, last) = (low.max(1e-12).log10().ceil() as i32, high.log10().floor() as i32);
    (first..=last).map(|power| 10f64.powi(power)).collect()
}

/// Means of neighbours, so that a long run is no heap of ink.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let width = points.len().div_ceil(POINTS).max(1);
    let mean = |part: &[(f64, f64)]| {
        let of =
            |value: fn(&(f64, f64)) -> f64| part.iter().map(value).sum::<f64>() / part.len() as f64;
        (of(|point| point.0), of(|point| point.1))
    };
    points.chunks(width).map(mean).collect()
}

/// Some of the values at even distances, both ends among them.
fn spread(values: &[f64]) -> Vec<f64> {
    let count = values.len().min(ROWS);
    let place = |row: usize| if count > 1 { row * (values.len() - 1) / (count - 1) } else { 0 };
    (0..count).map(|row| values[place(row)]).collect()
}

fn at(points: &[(f64, f64)], x: f64) -> String {
    points.iter().find(|point| point.0 == x).map_or_else(|| "-".into(), |point| short(point.1))
}

/// A curve in words.
fn spoken(line: &Line) -> String {
    let ends = (line.points.first(), line.points.last());
    let (Some(first), Some(last)) = ends else { return String::new() };
    let by = |better: fn(f64, f64) -> bool| {
        let choose = |best: &(f64, f64), next: &(f64, f64)| better(next.1, best.1);
        line.points.iter().fold(*first, |best, next| if choose(&best, next) { *next } else { best })
    };
    let (low, high) = (by(|a, b| a < b), by(|a, b| a > b));
    format!(
        "{}: from {} at {} to {} at {}, lowest {}, highest {}",
        line.name,
        short(first.1),
        short(first.0),
        short(last.1),
        short(last.0),
        short(low.1),
        short(high.1)
    )
}

/// A coordinate without digits that nobody sees.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A number in four digits at most, and thousands in short.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    let plain = |digits: usize| {
        let text = format!("{value:.digits$}");
        let cut = text.trim_end_matches('0').trim_end_matches('.').to_owned();
        if text.contains('.') { cut } else { text }
    };
    match size {
        _ if !value.is_finite() => "-".into(),
        0.0 => "0".into(),
        _ if size >= 1e6 => format!("{}M", short(value / 1e6)),
        _ if size >= 1e4 => format!("{}k", short(value / 1e3)),
        _ if size >= 100.0 => plain(0),
        _ if size >= 10.0 => plain(1),
        _ if size >= 1.0 => plain(2),
        _ if size >= 0.01 => plain(3),
        _ => format!("{value:.1e}").replace(".0e", "e"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> String {
        let lines = vec![Line { name: "a<b>".into(), points }];
        let (x_scale, filled) = (Scale::Linear, false);
        Chart { title: "loss", x: "step", y: "loss", x_scale, lines, filled }.draw().into_string()
    }

    #[test]
    fn curves_are_drawn_named_and_told() {
        let text = chart((0..1000).map(|x| (f64::from(x), 5.0 - 0.001 * f64::from(x))).collect());
        assert!(text.contains("aria-label=\"loss. a&lt;b&gt;: from 5 at 0 to 4 at 999"), "{text}");
        assert!(text.contains("<title>a&lt;b&gt;</title>") && !text.contains("<b>"));
        assert_eq!(text.matches('L').count(), 199, "averaged to 200 points");
        assert_eq!(chart(Vec::new()), "");
        let one = chart(vec![(700.0, 2.0)]);
        assert!(one.contains("<circle"), "one point is seen");
        assert_eq!(one.matches(">700</text>").count(), 1, "{one}");
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks([0.0, 1.0]), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(decades([0.02, 30.0]), [0.1, 1.0, 10.0]);
        for (value, text) in
            [(0.0, "0"), (1234.5, "1234"), (0.5, "0.5"), (123456.0, "123"), (2e-4, "2e-4")]
        {
            assert!(short(value).starts_with(text), "{value}: {}", short(value));
        }
    }
}

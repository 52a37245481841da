use super::*;
use crate::palette::{BLACK, WHITE};
use crate::text::Typesetter;

const BT601: Encoding = Encoding::Yuv {
    red: 0.299,
    blue: 0.114,
    full_range: false,
};
const RED: Colour = Colour(255, 0, 0);

fn component(plane: usize, offset: usize, step: usize, subsampling: (u32, u32)) -> Component {
    Component {
        plane,
        offset,
        step,
        subsampling,
    }
}

fn planar(subsampling: (u32, u32)) -> Layout {
    Layout {
        components: vec![
            component(0, 0, 1, (0, 0)),
            component(1, 0, 1, subsampling),
            component(2, 0, 1, subsampling),
        ],
        encoding: BT601,
    }
}

fn rgba() -> Layout {
    Layout {
        components: (0..4).map(|index| component(0, index, 4, (0, 0))).collect(),
        encoding: Encoding::Rgb,
    }
}

/// Memory of a picture, with something in it.
struct Memory {
    planes: [Vec<u8>; 4],
    stride: usize,
}

impl Memory {
    fn new((width, height): (usize, usize)) -> Self {
        let stride = 4 * width + 3;
        let noise =
            |plane: usize| (0..stride * height).map(move |index| ((index * 7 + plane * 50) * 31 % 251) as u8);
        Self {
            planes: [0, 1, 2, 3].map(|plane| noise(plane).collect()),
            stride,
        }
    }

    fn picture<'a>(&'a mut self, layout: &'a Layout, area: Rect) -> Picture<'a> {
        let stride = self.stride;
        Picture {
            layout,
            planes: self.planes.each_mut().map(|data| Plane { data, stride }),
            area,
        }
    }

    fn sample(&self, component: &Component, (x, y): (usize, usize)) -> u8 {
        self.planes[component.plane][y * self.stride + component.offset + x * component.step]
    }
}

/// The same by first giving each pixel its own samples, slowly.
fn check(layout: &Layout, size: (usize, usize), place: Rect, text: Option<&Mask>) {
    let (before, mut after) = (Memory::new(size), Memory::new(size));
    let frame = Rect::new((0, 0), size);
    let mut picture = after.picture(layout, frame);
    match text {
        Some(text) => picture.write((place.left, place.top), text, RED, WHITE),
        None => picture.fill(place, RED),
    }
    for (index, component) in layout.components.iter().enumerate() {
        let (plate, ink) = (
            layout.encoding.samples(RED)[index],
            layout.encoding.samples(WHITE)[index],
        );
        let (width, height) = (1 << component.subsampling.0, 1 << component.subsampling.1);
        for cell_y in 0..size.1.div_ceil(height) {
            for cell_x in 0..size.0.div_ceil(width) {
                let old = before.sample(component, (cell_x, cell_y));
                let cell = Rect::new((cell_x * width, cell_y * height), (width, height)).common(&frame);
                let mut sum = 0.0;
                for y in cell.top..cell.bottom {
                    for x in cell.left..cell.right {
                        let painted = !place.common(&Rect::new((x, y), (1, 1))).is_empty();
                        let share = text
                            .filter(|_| painted)
                            .map_or(0, |text| text.row(y - place.top)[x - place.left]);
                        let share = f64::from(share) / 255.0;
                        let new = f64::from(plate) * (1.0 - share) + f64::from(ink) * share;
                        sum += if painted { new } else { f64::from(old) };
                    }
                }
                let mean = sum / cell.area() as f64;
                let found = f64::from(after.sample(component, (cell_x, cell_y)));
                assert!(
                    (found - mean).abs() < 0.51,
                    "component {index} at {cell_x}, {cell_y}: {found} for {mean}; {place:?} in {size:?}"
                );
            }
        }
    }
}

fn layouts() -> Vec<Layout> {
    let packed = Layout {
        components: vec![
            component(0, 0, 2, (0, 0)),
            component(0, 1, 4, (1, 0)),
            component(0, 3, 4, (1, 0)),
        ],
        encoding: BT601,
    };
    let grey = Layout {
        components: vec![component(0, 0, 1, (0, 0))],
        encoding: BT601,
    };
    let subsamplings = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 2)];
    let mut layouts: Vec<_> = subsamplings.map(planar).into();
    layouts.extend([rgba(), packed, grey]);
    layouts
}

#[test]
fn a_rectangle_is_as_in_a_slow_reference() {
    for layout in layouts() {
        for size in [(8, 6), (9, 7), (11, 5)] {
            for (x, y) in [(0, 0), (1, 1), (2, 3), (7, 4), (8, 6)] {
                for (width, height) in [(1, 1), (2, 2), (3, 1), (1, 4), (5, 3), (20, 20)] {
                    check(&layout, size, Rect::new((x, y), (width, height)), None);
                }
            }
        }
    }
}

#[test]
fn text_is_as_in_a_slow_reference() {
    let text = Typesetter::default().line("k9", 9, 100);
    let size = (text.width + 5, text.height + 4);
    for layout in layouts() {
        for corner in [(0, 0), (1, 0), (0, 1), (3, 3), (5, 4), (9, 8)] {
            let place = Rect::new(corner, (text.width, text.height));
            check(&layout, size, place, Some(&text));
        }
    }
}

#[test]
fn a_part_of_a_frame_gets_its_part_of_the_painting() {
    let text = Typesetter::default().line("gj", 12, 100);
    let layout = rgba();
    let size = (40, 24);
    let paint = |picture: &mut Picture| {
        picture.fill(Rect::new((3, 2), (30, 5)), RED);
        picture.write((5, 4), &text, BLACK, WHITE);
    };
    let mut whole = Memory::new(size);
    whole.planes[0].fill(9);
    paint(&mut whole.picture(&layout, Rect::new((0, 0), size)));
    for corner in [(0, 0), (4, 3), (6, 6), (20, 20)] {
        let area = Rect::new(corner, (11, 4));
        let mut part = Memory::new((11, 4));
        part.planes[0].fill(9);
        paint(&mut part.picture(&layout, area));
        for y in 0..4 {
            for x in 0..11 {
                for component in &layout.components {
                    assert_eq!(
                        part.sample(component, (x, y)),
                        whole.sample(component, (x + corner.0, y + corner.1)),
                        "{x}, {y} of {corner:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn colours_become_the_samples_of_the_standards() {
    assert_eq!(BT601.samples(RED), [81, 90, 240, 255]);
    assert_eq!(BT601.samples(WHITE), [235, 128, 128, 255]);
    assert_eq!(BT601.samples(BLACK), [16, 128, 128, 255]);
    let bt709 = Encoding::Yuv {
        red: 0.2126,
        blue: 0.0722,
        full_range: false,
    };
    assert_eq!(bt709.samples(Colour(0, 0, 255)), [32, 240, 118, 255]);
    let full = Encoding::Yuv {
        red: 0.299,
        blue: 0.114,
        full_range: true,
    };
    assert_eq!(full.samples(Colour(0, 255, 0)), [150, 44, 21, 255]);
    assert_eq!(Encoding::Rgb.samples(RED), [255, 0, 0, 255]);
}

#[test]
fn memory_that_is_too_short_is_left_alone() {
    let text = Typesetter::default().line("gj", 12, 100);
    for layout in layouts() {
        for length in [0, 1, 30, 100] {
            let mut data = [0; 100];
            let mut planes: [Plane; 4] = Default::default();
            planes[0] = Plane {
                data: &mut data[..length],
                stride: 64,
            };
            let area = Rect::new((0, 0), (16, 16));
            let mut picture = Picture {
                layout: &layout,
                planes,
                area,
            };
            picture.fill(area, RED);
            picture.write((1, 1), &text, RED, WHITE);
        }
    }
}

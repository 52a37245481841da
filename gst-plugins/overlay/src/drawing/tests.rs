use super::*;

const FRAME: (u32, u32) = (200, 100);

fn style() -> Style {
    Style {
        line_width: 2,
        font_size: 16,
        shown: Shown {
            labels: true,
            scores: true,
        },
        colour_by_track: false,
        label_format: Arc::new(crate::label_format::DEFAULT.parse().unwrap()),
    }
}

fn dog(bbox: [f64; 4]) -> Detection {
    Detection {
        label: "dog".into(),
        class_id: 16,
        score: 0.856,
        bbox,
        track_id: None,
    }
}

fn draw(detections: &[Detection], style: &Style, frame: (u32, u32)) -> Vec<Shape> {
    shapes(detections, style, frame, &mut Typesetter::default())
}

fn labels(shapes: &[Shape]) -> Vec<Rect> {
    let labels = shapes.iter().filter(|shape| matches!(shape, Shape::Label { .. }));
    labels.flat_map(Shape::tiles).collect()
}

#[test]
fn a_box_is_an_outline_and_a_label_on_top() {
    let shapes = draw(&[dog([0.25, 0.5, 0.5, 0.25])], &style(), FRAME);
    let place = Rect::new((50, 50), (100, 25));
    let outline = Shape::Outline {
        place,
        line: 2,
        edge: 1,
        colour: palette::colour(16),
    };
    assert_eq!(shapes[0], outline);
    assert_eq!(shapes[0].tiles(), place.sides(3));
    let label = labels(&shapes)[0];
    assert_eq!((label.left, label.bottom, label.height()), (50, 50, 16));
    assert_eq!(shapes.len(), 2);
}

#[test]
fn everything_stays_inside_the_frame() {
    let edges = [
        -0.2,
        0.0,
        0.001,
        0.5,
        0.98,
        0.999,
        1.0,
        1.5,
        f64::NAN,
        f64::INFINITY,
    ];
    let sizes = [(0.5, 0.5), (0.0, 0.2), (0.004, 0.01), (3.0, 3.0), (f64::NAN, 0.5)];
    let mut typesetter = Typesetter::default();
    let huge = Style {
        line_width: 100,
        font_size: 500,
        ..style()
    };
    for (x, y) in edges.iter().flat_map(|x| edges.iter().map(move |y| (*x, *y))) {
        for (w, h) in sizes {
            for frame in [FRAME, (20, 6), (1, 1), (1, 50)] {
                let inside = Rect::new((0, 0), (frame.0 as usize, frame.1 as usize));
                for style in [&style(), &huge] {
                    let drawn = shapes(&[dog([x, y, w, h])], style, frame, &mut typesetter);
                    for tile in drawn.iter().flat_map(Shape::tiles) {
                        assert_eq!(tile.common(&inside), tile, "{x} {y} {w} {h}");
                        assert!(!tile.is_empty());
                    }
                }
            }
        }
    }
}

#[test]
fn labels_make_room_for_each_other() {
    let style = style();
    for bbox in [[0.1, 0.4, 0.8, 0.5], [0.0, 0.0, 1.0, 1.0], [0.3, 0.0, 0.6, 0.5]] {
        let four = vec![dog(bbox); 4];
        let labels = labels(&draw(&four, &style, FRAME));
        assert_eq!(labels.len(), 4);
        for (index, label) in labels.iter().enumerate() {
            for other in &labels[..index] {
                assert!(label.common(other).is_empty(), "{label:?} {other:?} of {bbox:?}");
            }
        }
    }
    // Where there is room for no more, all are there nevertheless.
    let crowd = vec![dog([0.4, 0.4, 0.1, 0.1]); 40];
    assert_eq!(labels(&draw(&crowd, &style, (64, 64))).len(), 40);
}

#[test]
fn a_long_label_is_cut_at_the_frame() {
    let long = Detection {
        label: "traffic light ".repeat(100_000),
        ..dog([0.5, 0.5, 0.2, 0.2])
    };
    let label = labels(&draw(&[long], &style(), FRAME))[0];
    assert!(label.width() > 180 && label.right <= 200, "{label:?}");
}

#[test]
fn without_words_there_is_no_label() {
    let bare = Style {
        shown: Shown {
            labels: false,
            scores: false,
        },
        ..style()
    };
    assert_eq!(draw(&[dog([0.1, 0.1, 0.5, 0.5])], &bare, FRAME).len(), 1);
}

#[test]
fn colours_follow_class_or_track() {
    let colour = |track_id, colour_by_track| {
        let style = Style {
            colour_by_track,
            ..style()
        };
        style.colour(&Detection {
            track_id,
            ..dog([0.0; 4])
        })
    };
    assert_eq!(colour(Some(3), true), palette::colour(3));
    assert_eq!(colour(Some(3), false), palette::colour(16));
    assert_eq!(colour(None, true), palette::colour(16));
}

#[test]
fn sizes_follow_the_frame() {
    let auto = Style {
        line_width: 0,
        font_size: 0,
        ..style()
    };
    let sizes = |size| {
        let Sizes { line, edge, font } = Sizes::new(&auto, Rect::new((0, 0), size));
        (line, edge, font)
    };
    assert_eq!(sizes((64, 64)), (1, 1, 10));
    assert_eq!(sizes((320, 240)), (2, 1, 12));
    assert_eq!(sizes((1280, 720)), (3, 1, 20));
    assert_eq!(sizes((1080, 1920)), (4, 1, 30));
    assert_eq!(sizes((3840, 2160)), (9, 3, 60));
    assert_eq!(sizes((7, 3)), (1, 1, 3));
}

#[test]
fn an_outline_stands_out_from_any_background() {
    // Of its two colours at least one is far from whatever is below.
    for id in 0..200 {
        let colour = palette::colour(id);
        let Colour(r, g, b) = colour;
        let Colour(other, ..) = colour.text();
        let distance = [r, g, b].map(|value| value.abs_diff(other));
        assert!(distance.into_iter().max().unwrap() > 100, "{id}");
    }
}

#[test]
fn nothing_found_nothing_drawn() {
    assert_eq!(draw(&[], &style(), FRAME), []);
}

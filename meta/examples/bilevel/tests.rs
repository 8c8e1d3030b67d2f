//! What the text and the pictures claim.

use meta::linear::Status;

use super::task::{dot, solve, times};
use super::*;

fn close(a: Point, b: Point, tolerance: f64) -> bool {
    norm(minus(a, b)) <= tolerance * norm(b).max(1.0)
}

fn named<'a>(answers: &'a [Answer], name: &str) -> &'a Answer {
    answers.iter().find(|a| a.name == name).unwrap_or_else(|| panic!("no answer {name}"))
}

#[test]
fn the_answers_are_whole_numbers() {
    let exact = TASK.exact(TASK.theta);
    assert!(close(exact.phi, [0.0, 1.0], 1e-15), "{exact:?}");
    assert!(close(exact.v, [3.0, 2.0], 1e-15), "{exact:?}");
    assert!(close(exact.g, [1.0, 0.0], 1e-15), "{exact:?}");
}

/// What is exact is derived by hand: here it meets central differences of "train to the end, then measure".
#[test]
fn the_exact_gradient_is_the_slope_of_f() {
    for (task, near) in [(TASK, TASK.theta), (NARROW, NARROW.theta), (VALLEYS, [0.9, 0.3])] {
        let measured = |theta| {
            let v = Task { theta, ..task }.exact(near).v;
            0.5 * dot(v, v)
        };
        let (h, [x, y]) = (1e-5, task.theta);
        let slope = [
            (measured([x + h, y]) - measured([x - h, y])) / (2.0 * h),
            (measured([x, y + h]) - measured([x, y - h])) / (2.0 * h),
        ];
        assert!(close(slope, task.exact(near).g, 1e-8), "{slope:?} at {near:?}");
    }
}

#[test]
fn the_engine_descends_what_is_drawn() {
    for task in [TASK, NARROW, VALLEYS] {
        let path = train(&task, 5);
        for k in 0..5 {
            let by_hand = minus(path[k], task.inner_gradient(path[k]).map(|g| task.hyper.rate * g));
            assert!(close(path[k + 1], by_hand, 1e-14));
        }
    }
}

/// dφ_K/dθ = M^K + αλ Σ_{j<K} Mʲ with M = I − α (H + λI), applied to φ_K − c.
fn maml_by_hand(task: &Task, steps: usize) -> Point {
    let m = task.inner_hessian(task.a);
    let step = |x: Point| minus(x, times(m, x).map(|y| task.hyper.rate * y));
    let phi = task.exact(task.theta).phi;
    let left = (0..steps).fold(minus(task.theta, phi), |x, _| step(x));
    let v = minus(minus(phi, task.c), left.map(|x| -x));
    let (mut power, mut sum) = (v, [0.0, 0.0]);
    for _ in 0..steps {
        sum = minus(sum, power.map(|x| -x));
        power = step(power);
    }
    minus(power, sum.map(|x| -task.hyper.rate * task.hyper.lambda * x))
}

#[test]
fn five_ways_are_as_exact_as_the_text_says() {
    let FiveWays { path, exact, answers } = five_ways();
    let of = |name| named(&answers, name);
    assert!(close(path[ENOUGH], exact.phi, 1e-14));
    for name in ["MAML, K = 160", "implicit, 2 CG steps", "implicit, 3 CG steps"] {
        assert!(of(name).error <= 1e-14, "{name}: {:e}", of(name).error);
    }
    assert!(close(of("MAML, K = 4").g, maml_by_hand(&TASK, 4), 1e-14));
    assert!((of("MAML, K = 4").error - 0.754).abs() < 1e-3);
    assert!(close(of("first-order").g, exact.v, 1e-14));
    assert!(close(of("Reptile").g, [0.0, -3.0], 1e-14));

    // 0 CG steps: nothing. 1: along v, as far as the curvature along v allows.
    assert_eq!(of("implicit, 0 CG steps").g, [0.0, 0.0]);
    let curvature = dot(exact.v, times(TASK.inner_hessian(exact.phi), exact.v));
    let along = exact.v.map(|v| TASK.hyper.lambda * dot(exact.v, exact.v) / curvature * v);
    assert!(close(of("implicit, 1 CG step").g, along, 1e-14));

    // (I + H/λ) g = v is the same system.
    let lambda = TASK.hyper.lambda;
    let paper = solve(TASK.inner_hessian(exact.phi).map(|h| h / lambda), exact.v);
    assert!(close(of("implicit, 2 CG steps").g, paper, 1e-14));
    // λ (θ − φ*) is the gradient of min_φ G, which moves with θ only through the prox term.
    let least = |theta| {
        let task = Task { theta, ..TASK };
        task.inner(task.exact(theta).phi)
    };
    let ([x, y], h) = (TASK.theta, 1e-5);
    let slope =
        [(least([x + h, y]) - least([x - h, y])) / (2.0 * h), (least([x, y + h]) - least([x, y - h])) / (2.0 * h)];
    assert!(close(of("Reptile").g.map(|g| lambda * g), slope, 1e-8), "{slope:?}");
}

#[test]
fn memory_is_as_the_table_says() {
    let answers = five_ways().answers;
    let of = |name| named(&answers, name);
    let (whole, recomputed) = (of("MAML, K = 160"), of("MAML, K = 160, recomputing"));
    assert_eq!(whole.g, recomputed.g, "recomputing repeats it bit for bit");
    assert_eq!(whole.kept, 40 * of("MAML, K = 4").kept, "so many bytes for each step");
    assert!(recomputed.kept * 100 < whole.kept);
    let short = TASK.implicit("", InnerStop::Steps(1), Cg::iterations(2), [1.0, 0.0]);
    assert_eq!(short.bytes, of("implicit, 2 CG steps").bytes, "one point, however long training was");
    assert_eq!((of("first-order").kept, of("Reptile").kept), (0, 0));
}

#[test]
fn pulling_back_through_fewer_steps_ends_at_the_first_order_method() {
    let g = TASK.exact(TASK.theta).g;
    let last = |m| TASK.maml("", "", 4, Keep::Last(m), g).g;
    assert_eq!(last(0), TASK.first_order("", 4, g).g);
    assert_eq!(last(4), TASK.maml("", "", 4, Keep::Everything, g).g);
}

#[test]
fn errors_fall_at_the_rate_of_training() {
    let errors = too_few_steps();
    for pair in errors.windows(2) {
        assert!(pair[1].maml < pair[0].maml && pair[1].implicit < pair[0].implicit, "after {} steps", pair[0].steps);
    }
    let [.., before, last] = &errors[..] else { panic!("64 errors") };
    assert!((last.maml / before.maml - 0.8).abs() < 1e-3 && (last.implicit / before.implicit - 0.8).abs() < 1e-3);
    assert!((last.first_order - 8.0_f64.sqrt()).abs() < 1e-5, "first-order never gets there");
}

#[test]
fn the_exact_gradient_vanishes_with_lambda_and_the_implicit_one_follows() {
    let pulls = too_small_lambda();
    for p in &pulls {
        assert!((p.implicit - p.exact).abs() <= 1e-11 * p.exact.max(1e-3), "λ = {}", p.lambda);
        assert!(p.maml > 1.0 && p.first_order > 3.0);
    }
    let [.., before, last] = &pulls[..] else { panic!("26 values of λ") };
    assert!((last.exact / before.exact - last.lambda / before.lambda).abs() < 1e-3, "like λ");
    assert!((last.condition - 6.0).abs() < 1e-2 && last.steps > 4 * pulls[0].steps, "ill-conditioned, slow");
}

#[test]
fn in_a_narrow_valley_only_the_solved_implicit_gradient_is_right() {
    let Narrow { answers, exact, .. } = narrow_valley();
    let of = |name| named(&answers, name);
    assert!(of("MAML, K = 100").error > 1.3 && close(of("MAML, K = 100").g, maml_by_hand(&NARROW, 100), 1e-12));
    assert!(of("first-order").error > 2.0);
    assert!(of("implicit, 1 CG step").error > 0.9);
    // ‖∇G‖ ≤ 10⁻¹³ over the smallest eigenvalue, 0.2, over ‖g‖.
    assert!(of("implicit, 2 CG steps").error <= 5e-12);
    // Across the valley the dependence on θ is all but gone.
    let share = NARROW.hyper.lambda / eigenvalues(NARROW.inner_hessian(exact.phi))[0];
    assert!((share - 0.1 / 30.1).abs() < 1e-12);
}

#[test]
fn negative_curvature_is_met_and_named() {
    let Valleys { exact, eigenvalues, answers, cured, .. } = two_valleys();
    let of = |name| named(&answers, name);
    assert!(eigenvalues[0] > 0.0 && eigenvalues[1] < 0.0, "indefinite: {eigenvalues:?}");
    let goes_on = of("implicit, K = 3, CG goes on");
    assert_eq!(goes_on.report.negative_curvature, 1);
    assert!(dot(goes_on.g, exact.g) < 0.0, "backwards");
    let stops = of("implicit, K = 3, CG stops");
    assert_eq!((stops.report.status, stops.g), (Some(Status::NegativeCurvature), [0.0, 0.0]));
    assert!(stops.to_string().contains("raise lambda"), "{stops}");
    assert!(of("MAML, K = 3").error > 5.0 && of("first-order, K = 3").error > 5.0);
    let trained = of("implicit, K = 160");
    assert!(trained.error <= 1e-13 && trained.report.negative_curvature == 0);
    assert!(cured.error <= 1e-13 && cured.report.negative_curvature == 0);
}

#[test]
fn the_page_is_whole() {
    let html = page::html(&story());
    assert_eq!(html, page::html(&story()), "the same page every time");
    for loads in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!html.contains(loads), "the page loads nothing, but has {loads}");
    }
    let (start, end) = (html.find("<style>").unwrap(), html.find("</style>").unwrap());
    let body = format!("{}{}", &html[..start], &html[end + "</style>".len()..]);
    let mut open: Vec<&str> = Vec::new();
    let mut numbers = 0;
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split(' ').next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "tags close in order"),
            None if tag.ends_with('/') || ["!DOCTYPE", "meta"].contains(&name) => {}
            None => open.push(name),
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes are balanced in <{tag}>");
        for attribute in ["d", "points", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "width", "height"] {
            let value = attribute_of(tag, attribute).unwrap_or("");
            for number in value.split(|c| " ,MLZ".contains(c)).filter(|n| !n.is_empty()) {
                let number: f64 = number.parse().unwrap_or_else(|_| panic!("{number} in <{tag}>"));
                assert!(number.is_finite() && number.abs() < 1e4, "{number} in <{tag}>");
                numbers += 1;
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    assert!(numbers > 10_000, "there are contours");
}

#[test]
fn labels_do_not_overlap() {
    let html = page::html(&story());
    for figure in html.split("<svg ").skip(1) {
        let figure = &figure[..figure.find("</svg>").unwrap()];
        let mut boxes: Vec<([f64; 2], f64, &str)> = Vec::new();
        for text in figure.split("<text ").skip(1).filter(|t| t.starts_with("class=\"label")) {
            let (tag, rest) = text.split_once('>').unwrap();
            let label = &rest[..rest.find('<').unwrap()];
            let number = |name| attribute_of(tag, name).unwrap().parse::<f64>().unwrap();
            // A semibold sans of 14.5 pixels is some 8.4 wide.
            let width = 8.4 * label.chars().count() as f64;
            let left = match attribute_of(tag, "text-anchor").unwrap() {
                "start" => number("x"),
                "middle" => number("x") - 0.5 * width,
                _ => number("x") - width,
            };
            assert!(left >= 0.0 && left + width <= 440.0, "{label} sticks out");
            for (other, end, name) in &boxes {
                let apart = left > *end || left + width < other[0] || (number("y") - other[1]).abs() > 15.0;
                assert!(apart, "{label} on {name}");
            }
            boxes.push(([left, number("y")], left + width, label));
        }
        assert!(!boxes.is_empty());
    }
}

fn attribute_of<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let value = &tag[tag.find(&format!(" {name}=\""))? + name.len() + 3..];
    value.split('"').next()
}

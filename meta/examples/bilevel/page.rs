//! The page: one HTML file with its figures and style inside, nothing loaded from anywhere.

use super::plot::{Plot, Side, escape};
use super::task::{Point, Task, eigenvalues, minus};
use super::{Answer, NARROW, Narrow, Pull, Steps, Story, TASK, VALLEYS, Valleys};

/// The whole page.
pub fn html(story: &Story) -> String {
    let (inside, outside) = (inside(story), outside(story));
    let (table, steps, lambda) = (table(story), few_steps(story), small_lambda(story));
    let (narrow, valleys) = (narrow(story), valleys(story));
    let curvatures = eigenvalues(NARROW.inner_hessian(story.narrow.exact.phi));
    let [across, along] = curvatures.map(|e| share(NARROW.hyper.lambda / e));
    let crawling = share(answer(&story.narrow.answers, "MAML, K = 100").error);
    let (ridge, cured) = (signed(story.valleys.eigenvalues[1], 2), share(story.valleys.cured.error));
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Differentiating through training</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>Differentiating through training</h1>
<p class="lead">A model starts at <i>θ</i>, trains on a task until it reaches <i>φ*</i>(<i>θ</i>), and is then measured.
Which way should <i>θ</i> move for the measurement to get better? Here are four methods at work on two parameters,
where the exact answer can be written down, and drawn.</p>

<div class="formulas">
<p><span>training minimises</span> <b>G(φ, θ) = L(φ) + ½ λ ‖φ − θ‖²</b></p>
<p><span>it ends at</span> <b>φ*(θ) = argmin<sub>φ</sub> G(φ, θ)</b></p>
<p><span>and is measured by</span> <b>F(θ) = f(φ*(θ))</b></p>
<p><span>the exact answer</span> <b>dF/dθ = λ (H + λI)⁻¹ v</b></p>
</div>
<p class="note">L is the loss on the support set, least at <i>a</i>, and H its second derivative. f = ½ ‖φ − c‖² is
the loss on the query set, least at <i>c</i>, and v = ∇f(φ*) = φ* − c. Here λ = 1.</p>

<ul class="legend">
<li><i class="key wide exact"></i>exact</li>
<li><i class="key maml"></i>MAML: through K steps</li>
<li><i class="key first"></i>first-order: as if φ* were θ</li>
<li><i class="key reptile"></i>Reptile: where training went</li>
<li><i class="key implicit"></i>implicit (iMAML): CG at φ*</li>
</ul>

<div class="pair">
<figure>
<figcaption><h2>Inside: training</h2></figcaption>
{inside}
<figcaption><p>Contours of G(·, θ). Gradient descent goes from θ to φ*: a compromise between θ and <i>a</i>, where the
support loss is least. The query set would have φ at <i>c</i>, along −v. But φ cannot be moved by hand: it is where
training ends. Only θ can.</p></figcaption>
</figure>
<figure>
<figcaption><h2>Outside: where to move&nbsp;θ</h2></figcaption>
{outside}
<figcaption><p>Contours of F, and −g of each method from the same θ: where a step of length 1 leads. The exact one
crosses the contours at right angles. First-order moves θ by −v, as if it were φ*. One CG step keeps that direction
and corrects its length; the second is exact, and so is MAML at K = 160: both lie on the broad arrow.</p></figcaption>
</figure>
</div>

<h2>What each method keeps, and what it gets</h2>
{table}
<p class="note">Bytes are what is kept of training. The implicit method keeps one point however long training was.
With 0 CG steps it has not asked yet how θ moves φ*: only ∂f/∂θ is left, and f does not see θ. Reptile never looks at
the query set: λ (θ − φ*) is the exact gradient of how well the <em>support</em> set can be fitted near θ.</p>

<h2>Four ways to lose it</h2>
<div class="panels">
<figure>
<figcaption><h3>K too small</h3></figcaption>
{steps}
<figcaption><p>MAML is exact for “K steps, then measure”, which is not F. The implicit method applies F’s formula at
φ<sub>K</sub>, which is not φ*. Both errors fall like 0.8<sup>K</sup>, the rate of training. First-order never gets
there.</p></figcaption>
</figure>
<figure>
<figcaption><h3>λ too small</h3></figcaption>
{lambda}
<figcaption><p>Without a pull to θ, φ* forgets θ: the exact gradient vanishes like λ, and the implicit method says so.
MAML after 4 steps still sees what training has not forgotten yet, and first-order takes dφ*/dθ for the identity:
large gradients of a dependence that is not there.</p></figcaption>
</figure>
<figure>
<figcaption><h3>An ill-conditioned task</h3></figcaption>
{narrow}
<figcaption><p>Across the valley φ* makes {across} of a move of θ: that dependence vanishes. Along it {along}, but
training crawls: after 100 steps MAML is {crawling} off. One CG step, along v, hardly moves; two are exact, at the end
of training.</p></figcaption>
</figure>
<figure>
<figcaption><h3>An indefinite Hessian</h3></figcaption>
{valleys}
<figcaption><p>In the shaded band H + λI has a negative eigenvalue. After 3 steps φ is there ({ridge}), and the
implicit formula points backwards; CG meets the negative curvature and names it: “stop” answers 0 rather than
something wrong. Train to the valley, or raise λ: with λ = 2 the error is {cured}.</p></figcaption>
</figure>
</div>

<footer>Every arrow but the exact one comes from the methods of the crate <code>meta</code>:
<code>cargo run --release -p meta --example bilevel</code></footer>
</main>
</body>
</html>
"#
    )
}

/// Training: contours of G, the path, and where the support and the query set would have φ.
fn inside(story: &Story) -> String {
    let five = &story.five;
    let mut plot = main_map();
    plot.contours(|phi| TASK.inner(phi), 14);
    plot.arrow(five.exact.phi, five.exact.v.map(|v| -v), "quiet");
    walk(&mut plot, &five.path);
    plot.dot(TASK.a, 4.5, "place");
    plot.dot(TASK.c, 4.5, "place");
    plot.label(TASK.a, Side::Above, "", "a: support loss least");
    plot.label(TASK.c, Side::Below, "", "c: query loss least");
    plot.label([-1.55, 0.0], Side::Left, "", "−v");
    plot.label(TASK.theta, Side::Below, "", "θ");
    plot.label(five.path[1], Side::Right, "", "φ₁");
    plot.label(five.exact.phi, Side::Above, "", "φ*");
    plot.svg("Gradient descent from θ to φ* over the contours of the inner objective")
}

/// The meta-gradients: contours of F, and −g of each method.
fn outside(story: &Story) -> String {
    let five = &story.five;
    let mut plot = main_map();
    plot.contours(|theta| TASK.outer(theta), 22);
    let arrow = |plot: &mut Plot, g: Point, class: &str| plot.arrow(TASK.theta, g.map(|x| -x), class);
    let of = |name: &str| answer(&five.answers, name).g;
    arrow(&mut plot, five.exact.g, "exact broad");
    arrow(&mut plot, of("first-order"), "first");
    arrow(&mut plot, of("Reptile"), "reptile");
    arrow(&mut plot, of("MAML, K = 4"), "maml");
    arrow(&mut plot, of("MAML, K = 160"), "maml");
    arrow(&mut plot, of("implicit, 2 CG steps"), "implicit");
    arrow(&mut plot, of("implicit, 1 CG step"), "implicit");
    arrow(&mut plot, of("implicit, 0 CG steps"), "implicit");
    plot.dot(TASK.theta, 5.0, "start");
    plot.label(tip(&TASK, five.exact.g), Side::Below, "", "exact");
    plot.label(tip(&TASK, of("first-order")), Side::Below, "first", "first-order");
    plot.label(tip(&TASK, of("Reptile")), Side::Above, "reptile", "Reptile");
    plot.label(tip(&TASK, of("MAML, K = 4")), Side::Left, "maml", "MAML, K = 4");
    plot.label(tip(&TASK, of("implicit, 1 CG step")), Side::Right, "implicit", "1 CG step");
    plot.label(TASK.theta, Side::Right, "implicit", "θ: 0 CG steps");
    plot.svg("Meta-gradients of five methods over the contours of the outer objective")
}

fn main_map() -> Plot {
    Plot::map([-4.4, -4.6], [2.2, 3.0])
}

/// θ − g: where a step of length 1 would lead.
fn tip(task: &Task, g: Point) -> Point {
    minus(task.theta, g)
}

fn answer<'a>(answers: &'a [Answer], name: &str) -> &'a Answer {
    answers.iter().find(|a| a.name == name).expect("the story has an answer of this name")
}

/// The path of training, a dot for each step until they touch.
fn walk(plot: &mut Plot, path: &[Point]) {
    plot.path(path, "walk");
    path.iter().skip(1).take(16).for_each(|&phi| plot.dot(phi, 2.6, "step"));
    plot.dot(path[path.len() - 1], 2.6, "step");
    plot.dot(path[0], 5.0, "start");
}

/// Errors against K.
fn few_steps(story: &Story) -> String {
    let x: Vec<(f64, &str)> = vec![(1.0, "1"), (16.0, "16"), (32.0, "32"), (48.0, "48"), (64.0, "64")];
    let y: Vec<(f64, &str)> = vec![(0.0, "100 %"), (-2.0, "1 %"), (-4.0, "10⁻⁴"), (-6.0, "10⁻⁶")];
    let mut plot = Plot::chart([1.0, -6.7], [64.0, 1.0], [&x, &y], ["K, steps of training", "error"]);
    let line = |of: fn(&Steps) -> f64| -> Vec<Point> {
        story.few_steps.iter().map(|e| [e.steps as f64, of(e).log10()]).collect()
    };
    plot.path(&line(|e| e.first_order), "curve first");
    plot.path(&line(|e| e.maml), "curve maml");
    plot.path(&line(|e| e.implicit), "curve implicit");
    plot.label([48.0, 0.45], Side::Below, "first", "first-order");
    plot.label([37.0, -3.1], Side::Right, "maml", "MAML");
    plot.label([36.0, -3.9], Side::Left, "implicit", "implicit, 2 CG steps");
    plot.svg("Errors of MAML and the implicit method fall with K; that of the first-order method does not")
}

/// Lengths of gradients against λ.
fn small_lambda(story: &Story) -> String {
    let x: Vec<(f64, &str)> =
        vec![(-4.0, "10⁻⁴"), (-3.0, "10⁻³"), (-2.0, "0.01"), (-1.0, "0.1"), (0.0, "1"), (1.0, "10")];
    let y: Vec<(f64, &str)> = vec![(0.0, "1"), (-1.0, "0.1"), (-2.0, "0.01"), (-3.0, "10⁻³"), (-4.0, "10⁻⁴")];
    let mut plot = Plot::chart([-4.0, -4.4], [1.0, 1.0], [&x, &y], ["λ", "‖g‖"]);
    let line = |of: fn(&Pull) -> f64| -> Vec<Point> {
        story.small_lambda.iter().map(|p| [p.lambda.log10(), of(p).log10()]).collect()
    };
    plot.path(&line(|p| p.exact), "curve exact broad");
    plot.path(&line(|p| p.first_order), "curve first");
    plot.path(&line(|p| p.maml), "curve maml");
    plot.path(&line(|p| p.implicit), "curve implicit");
    plot.label([-3.0, 0.55], Side::Above, "first", "first-order");
    plot.label([-3.0, 0.16], Side::Below, "maml", "MAML, K = 4");
    plot.label([-1.8, -2.5], Side::Right, "implicit", "implicit = exact");
    plot.svg("As λ goes to 0 the exact gradient vanishes; MAML and the first-order method do not notice")
}

/// The ill-conditioned task.
fn narrow(story: &Story) -> String {
    let Narrow { path, exact, answers } = &story.narrow;
    let mut plot = Plot::map([-2.9, -0.9], [2.3, 3.5]);
    plot.contours(|phi| NARROW.inner(phi), 16);
    walk(&mut plot, path);
    let arrow = |plot: &mut Plot, g: Point, class: &str| plot.arrow(NARROW.theta, g.map(|x| -x), class);
    let of = |name: &str| answer(answers, name).g;
    arrow(&mut plot, of("MAML, K = 100"), "maml");
    arrow(&mut plot, exact.g, "exact broad");
    arrow(&mut plot, of("implicit, 2 CG steps"), "implicit");
    arrow(&mut plot, of("first-order"), "first");
    arrow(&mut plot, of("implicit, 1 CG step"), "implicit");
    plot.dot(NARROW.theta, 5.0, "start");
    plot.dot(exact.phi, 4.5, "place");
    plot.dot(NARROW.c, 4.5, "place");
    plot.label(tip(&NARROW, exact.g), Side::Below, "", "exact");
    plot.label(tip(&NARROW, of("MAML, K = 100")), Side::Right, "maml", "MAML, K = 100");
    plot.label(tip(&NARROW, of("first-order")), Side::Right, "first", "first-order");
    plot.label(NARROW.theta, Side::Left, "implicit", "θ: 1 CG step");
    plot.label(path[100], Side::Above, "", "φ₁₀₀");
    plot.label(exact.phi, Side::Below, "", "φ*");
    plot.label(NARROW.c, Side::Right, "", "c");
    plot.svg("A narrow valley: training crawls along it")
}

/// The task with two valleys.
fn valleys(story: &Story) -> String {
    let Valleys { path, exact, answers, .. } = &story.valleys;
    let mut plot = Plot::map([-1.8, -1.7], [3.4, 2.7]);
    plot.contours(|phi| VALLEYS.inner(phi), 16);
    // 3 w φ₁² − 1 + λ < 0
    let half = ((1.0 - VALLEYS.hyper.lambda) / 3.0).sqrt();
    plot.band(-half, half, "band");
    walk(&mut plot, path);
    let arrow = |plot: &mut Plot, g: Point, class: &str| plot.arrow(VALLEYS.theta, g.map(|x| -x), class);
    let of = |name: &str| answer(answers, name).g;
    arrow(&mut plot, of("MAML, K = 3"), "maml");
    arrow(&mut plot, of("first-order, K = 3"), "first");
    arrow(&mut plot, of("implicit, K = 3, CG goes on"), "implicit");
    arrow(&mut plot, of("implicit, K = 3, CG stops"), "implicit");
    arrow(&mut plot, exact.g, "exact broad");
    plot.dot(VALLEYS.theta, 5.0, "start");
    plot.dot(exact.phi, 4.5, "place");
    plot.dot(VALLEYS.c, 4.5, "place");
    let [x, y] = VALLEYS.theta;
    plot.label([x + 0.45, y + 0.05], Side::Above, "", "exact");
    plot.label([x - 0.45, y + 0.05], Side::Above, "implicit", "CG stops");
    plot.label(tip(&VALLEYS, of("MAML, K = 3")), Side::Above, "maml", "MAML");
    plot.label(tip(&VALLEYS, of("first-order, K = 3")), Side::Below, "first", "first-order");
    plot.label(tip(&VALLEYS, of("implicit, K = 3, CG goes on")), Side::Below, "implicit", "CG goes on");
    plot.label(path[3], Side::Right, "", "φ₃");
    plot.label(exact.phi, Side::Below, "", "φ*");
    plot.label(VALLEYS.c, Side::Right, "", "c");
    plot.svg("Two valleys: on the ridge between them the implicit gradient points backwards")
}

/// What each method kept and got.
fn table(story: &Story) -> String {
    let five = &story.five;
    let mut rows =
        row("wide exact", "exact, by hand", ["the formula".into(), "".into(), pair(five.exact.g), "".into()]);
    for answer in &five.answers {
        let kept = if answer.kept == 0 {
            answer.keeps.to_string()
        } else {
            format!("{}: {} bytes", answer.keeps, thousands(answer.kept))
        };
        let cells = [kept, answer.report.products.to_string(), pair(answer.g), share(answer.error)];
        rows += &row(class(answer.name), answer.name, cells);
    }
    format!(
        "<table>\n<thead><tr><th>method</th><th>keeps of training</th><th>products with ∇²G</th><th>g</th>\
         <th>error</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    )
}

fn row(class: &str, method: &str, cells: [String; 4]) -> String {
    let mut row = format!("<tr><th scope=\"row\"><i class=\"key {class}\"></i>{}</th>", escape(method));
    // A phone places the cells by their names.
    for (name, cell) in ["keeps", "products", "g", "error"].iter().zip(&cells) {
        row += &format!("<td class=\"{name}\">{}</td>", escape(cell));
    }
    row + "</tr>\n"
}

/// A method's colour.
fn class(method: &str) -> &'static str {
    match method.split([',', '-']).next() {
        Some("MAML") => "maml",
        Some("first") => "first",
        Some("implicit") => "implicit",
        _ => "reptile",
    }
}

/// A number with a minus sign that is one, and none at zero.
fn signed(x: f64, digits: usize) -> String {
    let text = format!("{x:.digits$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| "0.".contains(c)) => zero.into(),
        Some(size) => format!("−{size}"),
        None => text,
    }
}

fn pair([x, y]: Point) -> String {
    format!("({}, {})", signed(x, 2), signed(y, 2))
}

/// A relative error: in percent, or as a power of ten where that is small.
fn share(error: f64) -> String {
    if error >= 1e-3 {
        let digits = usize::from(error < 0.01);
        return format!("{:.digits$} %", 100.0 * error);
    }
    let text = format!("{error:.0e}");
    let (digit, exponent) = text.split_once('e').expect("scientific notation has an exponent");
    let raised = |c: char| match c.to_digit(10) {
        Some(d) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][d as usize],
        None => '⁻',
    };
    format!("{digit}·10{}", exponent.chars().map(raised).collect::<String>())
}

/// 25696 as 25,696.
fn thousands(n: usize) -> String {
    if n < 1000 { n.to_string() } else { format!("{},{:03}", thousands(n / 1000), n % 1000) }
}

const STYLE: &str = "
:root { --paper: #fbfbf9; --card: #ffffff; --ink: #1b1e23; --soft: #5b626d; --line: #dcdfe3; --level: #35628f;
  --maml: #0a63c2; --first: #bf4f00; --reptile: #157347; --implicit: #a3219b; --broad: .22; --depth: .055; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #121519; --card: #191d23; --ink: #ecebe6; --soft: #a0a7b2; --line: #323842; --level: #86b2de;
    --maml: #6cb2ff; --first: #ff9f5c; --reptile: #5fd195; --implicit: #f08ae6; --broad: .3; --depth: .05; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.55 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 20px 56px; }
h1 { font-size: clamp(29px, 5vw, 44px); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 12px; }
h2 { font-size: 23px; line-height: 1.25; margin: 52px 0 14px; }
h3 { font-size: 19px; margin: 0; }
p { margin: 0; }
.lead { font-size: 19px; max-width: 46em; }
.note, figcaption p, footer { color: var(--soft); font-size: 15.5px; }
.note { max-width: 56em; }
.formulas { display: grid; grid-template-columns: repeat(2, auto); justify-content: start; gap: 10px 48px;
  margin: 26px 0 14px; }
.formulas p { display: flex; flex-direction: column; }
.formulas span { color: var(--soft); font-size: 14.5px; }
.formulas b { font: 20px/1.4 Georgia, 'Liberation Serif', serif; }
.pair, .panels { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 24px; margin-top: 18px; }
sub, sup { line-height: 0; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 14px; overflow: hidden; }
figure h2, figure h3 { margin: 0; padding: 15px 18px 11px; }
figcaption p { padding: 13px 18px 17px; }
svg { display: block; width: 100%; height: auto; border-block: 1px solid var(--line); }
.level { fill: var(--level); fill-opacity: var(--depth); stroke: var(--level); stroke-opacity: .28; stroke-width: .8; }
.band { fill: var(--first); fill-opacity: .12; }
.grid { stroke: var(--line); }
.tick { font: 13px system-ui, sans-serif; fill: var(--soft); }
.label { font: 600 14.5px system-ui, sans-serif; fill: var(--ink); stroke: var(--card); stroke-width: 4px;
  stroke-linejoin: round; paint-order: stroke; }
.walk { fill: none; stroke: var(--ink); stroke-width: 1.6; }
.step { fill: var(--ink); }
.start { fill: var(--ink); stroke: var(--card); stroke-width: 1.5; }
.place { fill: var(--card); stroke: var(--ink); stroke-width: 2; }
.shaft { stroke: currentColor; stroke-width: 2.6; stroke-linecap: round; }
.head { fill: currentColor; }
.ring { fill: none; stroke: currentColor; stroke-width: 2.4; }
.curve { fill: none; stroke: currentColor; stroke-width: 2.6; stroke-linejoin: round; }
.exact { color: var(--ink); }
.quiet { color: var(--soft); stroke-dasharray: 5 5; stroke-width: 1.8; }
polygon.quiet { stroke: none; }
.broad { stroke-width: 13; opacity: var(--broad); }
polygon.broad { stroke: currentColor; stroke-width: 8; stroke-linejoin: round; }
.maml { color: var(--maml); }
.first { color: var(--first); }
.reptile { color: var(--reptile); }
.implicit { color: var(--implicit); }
.label.maml, .label.first, .label.reptile, .label.implicit { fill: currentColor; }
table { width: 100%; border-collapse: collapse; font-size: 15.5px; font-variant-numeric: tabular-nums;
  margin-bottom: 14px; }
th, td { text-align: left; padding: 8px 14px 8px 0; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--soft); font-size: 14px; }
tbody th { color: var(--ink); font-weight: 600; white-space: nowrap; }
th:nth-child(n+3), td:nth-child(n+3) { text-align: right; padding-right: 0; padding-left: 14px; white-space: nowrap; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 20px; list-style: none; margin: 26px 0 0; padding: 0;
  font-size: 15px; }
.legend li { white-space: nowrap; }
.key { display: inline-block; width: 18px; height: 4px; border-radius: 2px; margin-right: 10px; vertical-align: 4px;
  background: currentColor; }
.key.wide { height: 10px; border-radius: 4px; vertical-align: 1px; opacity: calc(var(--broad) + .1); }
footer { margin-top: 44px; }
code { font-size: 14px; overflow-wrap: anywhere; }
@media (max-width: 820px) {
  main { padding: 26px 16px 40px; }
  .pair, .panels, .formulas { grid-template-columns: minmax(0, 1fr); }
  thead { display: none; }
  table, tbody { display: block; }
  tr { display: grid; grid-template-columns: 1fr auto; column-gap: 14px; padding: 9px 0;
    border-bottom: 1px solid var(--line); }
  tbody th, td, th:nth-child(n+3), td:nth-child(n+3) { border: 0; padding: 0; }
  tbody th { white-space: normal; }
  .keeps, .products { grid-column: 1; color: var(--soft); font-size: 14.5px; }
  .products { text-align: left !important; }
  .products:not(:empty)::before { content: 'products: '; }
  .g, .error { grid-column: 2; }
  .error { grid-row: 1; }
  .g { grid-row: 2; }
}
";

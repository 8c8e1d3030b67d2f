//! The HTML around what a report says: one file, nothing loaded from anywhere, light and dark, wide and narrow.

use crate::chart::escape;

/// A whole page.
pub fn html(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A part with a heading; nothing where there is nothing to say.
pub fn section(heading: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{}</h2>\n{content}</section>\n", escape(heading))
}

/// A paragraph.
pub fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// A picture with a caption under it.
pub fn figure(picture: &str, caption: &str) -> String {
    format!(
        "<figure>\n<div class=\"scroll\">{picture}</div>\n<figcaption>{}</figcaption>\n</figure>\n",
        escape(caption)
    )
}

/// A table whose first column is a heading; the first row too, if `headed`.
pub fn table(rows: &[Vec<String>], headed: bool) -> String {
    let mut html = String::from("<div class=\"scroll\"><table>\n");
    for (i, row) in rows.iter().enumerate() {
        html += "<tr>";
        for (j, cell) in row.iter().enumerate() {
            let tag = if j == 0 || (headed && i == 0) { "th" } else { "td" };
            html += &format!("<{tag}>{}</{tag}>", escape(cell));
        }
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

const STYLE: &str = "
:root{--ground:#fff;--card:#f6f7f9;--text:#1c2026;--muted:#59616d;--line:#d9dde3;--right:#1a7f4b;--wrong:#b3261e}
@media (prefers-color-scheme:dark){:root{--ground:#15181d;--card:#1d2127;--text:#e8ebf0;--muted:#a2abb8;--line:#343a44;
--right:#5cc98d;--wrong:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif}
main{max-width:64rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0 1rem}
h2{font-size:1.2rem;margin:2.5rem 0 .75rem}
p,figcaption{color:var(--muted);margin:.5rem 0;max-width:48rem}
.lead{font-size:1.25rem;color:var(--text)}
figure{margin:0 0 1.5rem}
figure svg{width:100%;min-width:36rem;height:auto;display:block}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem 1.2rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:500;color:var(--muted)}
td{overflow-wrap:anywhere}
code{font-size:.92em;background:var(--card);padding:.1em .35em;border-radius:.25em;overflow-wrap:anywhere}
.task{background:var(--card);border-radius:.5rem;padding:1rem;margin:0 0 1rem}
.task h3{font-size:.9rem;font-weight:500;color:var(--muted);margin:0 0 .4rem}
.task h3+.row{margin-bottom:1rem}
.row{display:flex;flex-wrap:wrap;gap:.7rem}
.card{width:5.6rem;font-size:.8rem;line-height:1.35}
.card img{width:5.6rem;height:5.6rem;image-rendering:pixelated;border-radius:.25rem;border:1px solid var(--line);
display:block;margin-bottom:.25rem}
.card b{font-weight:600}
.right{color:var(--right)}.wrong{color:var(--wrong)}
";

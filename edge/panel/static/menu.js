// On a narrow screen the pages are a row to scroll: the present one is shown.
document.querySelector("nav.pages [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

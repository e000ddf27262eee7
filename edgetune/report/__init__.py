"""One report record, four forms: JSON, Markdown, HTML, and the lines that end a build."""

//! A source file as the rules see it: comments, texts and tests blanked out, every path that it
//! names written out in full.

use std::path::Path;

/// Files below `part` name nothing of `never`, except for `but`. Free of it are files whose path
/// contains one of `files`.
///
/// A pattern is a path; a last segment `*End` means any name with this end.
#[derive(Clone, Copy)]
pub(super) struct Wall {
    pub(super) part: &'static str,
    pub(super) files: &'static [&'static str],
    pub(super) but: &'static [&'static str],
    pub(super) never: &'static [&'static [&'static str]],
}

pub(crate) struct Source {
    /// Relative to the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    code: String,
}

/// All Rust files of a folder.
pub(crate) fn tree(root: &Path, folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let entries = std::fs::read_dir(root.join(folder))
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("an entry of a folder");
        let path = folder.join(entry.file_name());
        if entry.path().is_dir() {
            sources.extend(tree(root, &path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            sources.push(Source::read(root, &path));
        }
    }
    sources
}

impl Source {
    pub(super) fn read(root: &Path, path: &Path) -> Self {
        let text = std::fs::read_to_string(root.join(path))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::new(&path.to_string_lossy(), &text)
    }

    pub(super) fn new(path: &str, text: &str) -> Self {
        let code = without_texts(text);
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// Whether the whole file is tests.
    pub(super) fn is_test(&self) -> bool {
        self.path.starts_with("tests/behaviour/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
    }

    pub(super) fn lines_without_tests(&self) -> usize {
        self.code.lines().count()
    }

    pub(super) fn header_lines(&self) -> usize {
        self.text.lines().take_while(|line| line.starts_with("//!")).count()
    }

    /// Names of the modules that the file declares, in its order.
    pub(super) fn modules(&self) -> Vec<&str> {
        let lines = self.code.lines().map(|line| line.strip_prefix("pub ").unwrap_or(line));
        lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect()
    }

    pub(super) fn words(&self, words: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for (number, line) in self.code.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{}:{}: {word}", self.path, number + 1));
            }
        }
        found
    }

    /// The file, its folders and the types it declares, where their last word says nothing.
    pub(super) fn empty_names(&self, empty: &[&str], terms: &[&str]) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        let mut names: Vec<String> = path.split('/').map(str::to_owned).collect();
        let words: Vec<&str> = self.code.split_whitespace().collect();
        for pair in words.windows(2) {
            if matches!(pair[0], "struct" | "enum" | "trait" | "type" | "mod") {
                let end = pair[1].find(|char: char| !char.is_alphanumeric() && char != '_');
                names.push(pair[1][..end.unwrap_or(pair[1].len())].to_owned());
            }
        }
        let is_empty = |name: &String| {
            empty.contains(&last_word(name).as_str()) && !terms.contains(&name.as_str())
        };
        let found = names.iter().filter(|name| is_empty(name));
        found.map(|name| format!("{}: the name {name} says nothing", self.path)).collect()
    }

    pub(super) fn breaches(&self, wall: &Wall) -> Vec<String> {
        let below = self.path.strip_prefix(wall.part).is_some_and(|rest| {
            wall.part.is_empty() || rest.is_empty() || rest.starts_with(['/', '.'])
        });
        if !below || self.is_test() || wall.files.iter().any(|part| self.path.contains(part)) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (line, path) in self.paths() {
            if wall.but.iter().any(|pattern| matches(&path, pattern)) {
                continue;
            }
            for pattern in wall.never.iter().flat_map(|group| *group) {
                if matches(&path, pattern) {
                    found.push(format!("{}:{line}: {path} (never {pattern})", self.path));
                }
            }
        }
        found
    }

    /// Every path of two or more segments that the code names, with its line.
    fn paths(&self) -> Vec<(usize, String)> {
        let tokens = tokens(&self.code);
        let mut found = Vec::new();
        let mut position = 0;
        while position < tokens.len() {
            let before = position.checked_sub(1).map(|index| tokens[index].1);
            if is_name(tokens[position].1) && before != Some("::") {
                position = self.path_at(&tokens, position, &[], &mut found);
            } else {
                position += 1;
            }
        }
        found
    }

    /// Reads the path (or the tree of a `use`) that begins at `position`; returns where it ends.
    fn path_at(
        &self,
        tokens: &[(usize, &str)],
        mut position: usize,
        prefix: &[&str],
        found: &mut Vec<(usize, String)>,
    ) -> usize {
        let mut segments = prefix.to_vec();
        let line = tokens[position].0;
        while position < tokens.len() && is_name(tokens[position].1) {
            segments.push(tokens[position].1);
            position += 1;
            if tokens.get(position).map(|token| token.1) != Some("::") {
                break;
            }
            position += 1;
        }
        if tokens[position - 1].1 == "::" && tokens.get(position).map(|it| it.1) == Some("{") {
            position += 1;
            while position < tokens.len() && tokens[position].1 != "}" {
                if is_name(tokens[position].1) {
                    position = self.path_at(tokens, position, &segments, found);
                    // `name as other` inside the tree.
                    if tokens.get(position).map(|token| token.1) == Some("as") {
                        position += 2;
                    }
                } else {
                    position += 1;
                }
            }
            return position + 1;
        }
        if segments.len() > 1 {
            found.push((line, self.resolved(&segments)));
        }
        position
    }

    /// `self` and `super` written out as `crate::…`.
    fn resolved(&self, segments: &[&str]) -> String {
        let inside = self.path.split_once("/src/").map_or("", |(_, rest)| rest);
        let inside = inside.trim_end_matches(".rs").trim_end_matches("/mod");
        let mut module: Vec<&str> = inside.split('/').filter(|it| !it.is_empty()).collect();
        let mut rest = segments;
        if !matches!(rest.first(), Some(&("self" | "super"))) {
            return segments.join("::");
        }
        while let Some(first @ (&"self" | &"super")) = rest.first() {
            if *first == "super" {
                module.pop();
            }
            rest = &rest[1..];
        }
        ["crate"].iter().chain(&module).chain(rest).copied().collect::<Vec<_>>().join("::")
    }
}

fn matches(path: &str, pattern: &str) -> bool {
    let mut path = path.split("::");
    pattern.split("::").all(|wanted| match (path.next(), wanted.strip_prefix('*')) {
        (Some(segment), Some(end)) => segment.ends_with(end),
        (Some(segment), None) => segment == wanted,
        (None, _) => false,
    })
}

/// `LoginInfo` and `login_info` both end in `info`.
fn last_word(name: &str) -> String {
    let name = name.rsplit('_').next().unwrap_or_default();
    let start = name.rfind(|char: char| char.is_ascii_uppercase()).unwrap_or(0);
    name[start..].to_ascii_lowercase()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|char: char| char.is_alphabetic() || char == '_' || char == '*')
}

fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let name = rest.find(|char: char| !char.is_alphanumeric() && char != '_');
            let length = match name.unwrap_or(rest.len()) {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                length => length,
            };
            if !first.is_whitespace() {
                found.push((number + 1, &rest[..length]));
            }
            rest = &rest[length..];
        }
    }
    found
}

/// Comments and the insides of string literals as blanks; lines stay where they are.
fn without_texts(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(&code, rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = hashes + 2;
            rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
        } else if char == '"' {
            string_length(rest)
        } else if let Some(length) = char_length(rest) {
            length
        } else {
            code.push(char);
            rest = &rest[char.len_utf8()..];
            continue;
        };
        code.extend(rest[..skipped].chars().map(|char| if char == '\n' { '\n' } else { ' ' }));
        rest = &rest[skipped..];
    }
    code
}

/// Number of `#` of the raw string that begins here.
fn raw_string(before: &str, rest: &str) -> Option<usize> {
    if before.ends_with(|char: char| char.is_alphanumeric() && char != 'b' || char == '_') {
        return None;
    }
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (index, char) in rest.char_indices().skip(1) {
        match char {
            '"' if !escaped => return index + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// A character literal; a lifetime is none.
fn char_length(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        return inside[2..].find('\'').map(|end| end + 4);
    }
    let first = inside.chars().next()?;
    inside[first.len_utf8()..].starts_with('\'').then(|| first.len_utf8() + 2)
}

package workspace

import (
	"path"
	"strings"
)

// language names the language of a text as Highlight.js does, by its name, its extension, or its first line; "text" when none
// of them tells.
func language(name, content string) string {
	base := strings.ToLower(path.Base(name))
	if l := byName(base); l != "" {
		return l
	}
	if l := byExtension(strings.TrimPrefix(path.Ext(base), ".")); l != "" {
		return l
	}
	if first, ok := strings.CutPrefix(content, "#!"); ok {
		first, _, _ = strings.Cut(first, "\n")
		return byShebang(first)
	}
	return "text"
}

// byName knows files that are called by what they are, Dockerfile.dev too.
func byName(base string) string {
	switch stem, _, _ := strings.Cut(base, "."); stem {
	case "dockerfile", "containerfile":
		return "dockerfile"
	case "makefile", "gnumakefile":
		return "makefile"
	case "jenkinsfile":
		return "groovy"
	}
	switch base {
	case "cmakelists.txt":
		return "cmake"
	case "gemfile", "rakefile", "vagrantfile", "podfile", "brewfile", "guardfile", "fastfile":
		return "ruby"
	case "build", "build.bazel", "workspace.bazel", "sconstruct", "tiltfile":
		return "python"
	case "caddyfile", "nginx.conf":
		return "nginx"
	case ".bashrc", ".bash_profile", ".bash_aliases", ".profile", ".zshrc", ".zprofile", "pkgbuild", "apkbuild":
		return "bash"
	case ".gitconfig", ".editorconfig", ".npmrc", ".pylintrc", ".flake8", "pipfile", "cargo.lock", "poetry.lock", "uv.lock":
		return "ini"
	case ".env", ".gitignore", ".dockerignore", ".gitattributes":
		return "bash"
	case ".babelrc", ".eslintrc", ".prettierrc", "composer.lock", "flake.lock", "pipfile.lock", "bun.lock":
		return "json"
	case "go.mod", "go.sum", "go.work":
		return "go"
	case ".vimrc", ".gvimrc":
		return "vim"
	case ".htaccess", "httpd.conf":
		return "apache"
	case ".emacs":
		return "lisp"
	default:
		return ""
	}
}

//nolint:gocyclo // one long table
func byExtension(ext string) string {
	switch ext {
	case "ada", "adb", "ads":
		return "ada"
	case "applescript", "scpt":
		return "applescript"
	case "s", "asm", "nasm":
		return "x86asm"
	case "awk":
		return "awk"
	case "sh", "bash", "zsh", "ksh", "bats", "fish", "env":
		return "bash"
	case "bas", "vb", "vbs":
		return "vbnet"
	case "bat", "cmd":
		return "dos"
	case "bib", "tex", "sty", "cls", "ltx":
		return "latex"
	case "c", "h":
		return "c"
	case "clj", "cljs", "cljc", "edn":
		return "clojure"
	case "cmake":
		return "cmake"
	case "coffee":
		return "coffeescript"
	case "cpp", "cc", "cxx", "c++", "hpp", "hh", "hxx", "h++", "ino", "cu", "cuh":
		return "cpp"
	case "cr":
		return "crystal"
	case "cs", "csx":
		return "csharp"
	case "css":
		return "css"
	case "d":
		return "d"
	case "dart":
		return "dart"
	case "diff", "patch":
		return "diff"
	case "dockerfile":
		return "dockerfile"
	case "ex", "exs":
		return "elixir"
	case "elm":
		return "elm"
	case "erb":
		return "erb"
	case "erl", "hrl":
		return "erlang"
	case "f", "f77", "f90", "f95", "for":
		return "fortran"
	case "fs", "fsi", "fsx":
		return "fsharp"
	case "glsl", "vert", "frag", "geom", "comp":
		return "glsl"
	case "go":
		return "go"
	case "gql", "graphql", "graphqls":
		return "graphql"
	case "gradle", "groovy", "gvy":
		return "groovy"
	case "hbs", "handlebars":
		return "handlebars"
	case "hs", "lhs":
		return "haskell"
	case "http", "rest":
		return "http"
	case "ini", "cfg", "conf", "cnf", "properties", "toml", "service", "desktop":
		return "ini"
	case "java":
		return "java"
	case "js", "mjs", "cjs", "jsx":
		return "javascript"
	case "json", "jsonc", "json5", "jsonl", "ndjson", "geojson", "webmanifest", "ipynb":
		return "json"
	case "jl":
		return "julia"
	case "kt", "kts":
		return "kotlin"
	case "less":
		return "less"
	case "lisp", "lsp", "cl", "el":
		return "lisp"
	case "lua":
		return "lua"
	case "mk", "mak":
		return "makefile"
	case "md", "markdown", "mdx", "mdown":
		return "markdown"
	case "m", "matlab":
		return "matlab"
	case "mm":
		return "objectivec"
	case "ml", "mli", "re", "rei":
		return "ocaml"
	case "nim":
		return "nim"
	case "nix":
		return "nix"
	case "pas", "pp", "dpr":
		return "delphi"
	case "pl", "pm", "t":
		return "perl"
	case "php", "phtml":
		return "php"
	case "sql", "psql", "ddl", "dml":
		return "sql"
	case "pgsql":
		return "pgsql"
	case "ps1", "psm1", "psd1":
		return "powershell"
	case "prolog", "pro":
		return "prolog"
	case "proto":
		return "protobuf"
	case "py", "pyw", "pyi", "pyx", "bzl", "star":
		return "python"
	case "r", "rmd":
		return "r"
	case "rb", "gemspec", "rake", "ru":
		return "ruby"
	case "rs":
		return "rust"
	case "sass":
		return "scss"
	case "scss":
		return "scss"
	case "scala", "sc", "sbt":
		return "scala"
	case "scm", "ss", "rkt":
		return "scheme"
	case "sol":
		return "solidity"
	case "styl":
		return "stylus"
	case "swift":
		return "swift"
	case "sv", "svh", "v", "vh":
		return "verilog"
	case "tcl":
		return "tcl"
	case "tf", "tfvars", "hcl":
		return "terraform"
	case "ts", "tsx", "mts", "cts":
		return "typescript"
	case "vhd", "vhdl":
		return "vhdl"
	case "vim":
		return "vim"
	case "wat", "wast":
		return "wasm"
	case "html", "htm", "xhtml", "xml", "xsd", "xsl", "xslt", "svg", "rss", "atom", "plist", "vue", "svelte", "csproj", "pom":
		return "xml"
	case "yaml", "yml", "clang-format":
		return "yaml"
	case "zig":
		return "zig"
	default:
		return ""
	}
}

// byShebang reads the interpreter off "/usr/bin/env -S python3.11 -u".
func byShebang(line string) string {
	for _, word := range strings.Fields(line) {
		interpreter := strings.TrimRight(path.Base(word), "0123456789.")
		switch interpreter {
		case "env", "-S":
			continue
		case "sh", "bash", "zsh", "dash", "ksh", "fish":
			return "bash"
		case "python", "pypy":
			return "python"
		case "node", "deno", "bun":
			return "javascript"
		case "ts-node", "tsx":
			return "typescript"
		case "ruby", "perl", "lua", "awk", "php":
			return interpreter
		case "gawk":
			return "awk"
		case "Rscript":
			return "r"
		case "pwsh":
			return "powershell"
		case "make":
			return "makefile"
		}
		if !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
			break
		}
	}
	return "text"
}

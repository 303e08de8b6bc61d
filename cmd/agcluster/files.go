package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/workspace"
)

func filesCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "files SESSION [PATH]", Short: "Show a session's files, or one of them", Args: cobra.RangeArgs(1, 2),
		Long: "Show the tree of a session's workspace or of a folder in it, or what is in a file. PATH is relative to /workspace.",
		RunE: g.action(func(ctx context.Context, c *client, args []string) error {
			id, err := g.session(ctx, c, args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 || inWorkspace(args[1]) == "" || strings.HasSuffix(args[1], "/") {
				return g.tree(ctx, c, id, strings.Join(args[1:], ""))
			}
			err = g.preview(ctx, c, id, args[1])
			var p *problem
			if errors.As(err, &p) && p.Status == http.StatusBadRequest && g.tree(ctx, c, id, args[1]) == nil {
				return nil // it was a folder
			}
			return err
		}),
	}
	cmd.AddCommand(getCommand(g), putCommand(g))
	return cmd
}

// inWorkspace is a path relative to /workspace, "" for the workspace itself. Whether it is a good one is for the host to say.
func inWorkspace(p string) string {
	if rest, ok := strings.CutPrefix(p, "/workspace"); ok && (rest == "" || rest[0] == '/') {
		p = strings.TrimPrefix(rest, "/")
	}
	if p == "." {
		return ""
	}
	return strings.TrimPrefix(p, "./")
}

// filePath is a file's path in a URL, its slashes encoded: a file can be called "download".
func filePath(id, p string) string {
	return "/api/files/" + url.PathEscape(id) + "/" + url.PathEscape(inWorkspace(p))
}

func (g *globals) tree(ctx context.Context, c *client, id, folder string) error {
	q := url.Values{}
	if folder = strings.TrimSuffix(inWorkspace(folder), "/"); folder != "" {
		q.Set("path", folder)
	}
	var t workspace.Tree
	raw, err := c.call(ctx, request{method: http.MethodGet, path: "/api/files/" + url.PathEscape(id), query: q}, &t)
	if err != nil || g.json {
		return g.orJSON(raw, err)
	}
	if t.Tree == nil {
		return errors.New("the host sent a tree without a root")
	}
	st := g.colours(g.out)
	var b strings.Builder
	b.WriteString(st.bold(visible(path.Join("/", t.Root, folder), false)) + "\n")
	branch(&b, st, t.Tree.Children, "")
	b.WriteString(st.dim(plural(int64(t.TotalFiles), "file")))
	if t.Truncated {
		b.WriteString(st.yellow(", and more: the tree was cut off at the host's limit"))
	}
	b.WriteString("\n")
	_, err = fmt.Fprint(g.out, b.String())
	return err
}

// branch draws what is in a folder. The host bounds how deep a tree is.
func branch(b *strings.Builder, st style, nodes []*workspace.Node, prefix string) {
	for i, n := range nodes {
		arm, below := "├── ", "│   "
		if i == len(nodes)-1 {
			arm, below = "└── ", "    "
		}
		name := visible(n.Name, false)
		switch n.Type {
		case agent.EntryDirectory:
			name = st.bold(name) + "/"
		case agent.EntrySymlink:
			name = st.cyan(name) + " -> " + visible(n.Target, false)
		case agent.EntryFile:
			name += st.dim("  " + size(n.Size))
		default:
			name += st.dim("  (special)")
		}
		b.WriteString(st.dim(prefix+arm) + name + "\n")
		branch(b, st, n.Children, prefix+below)
	}
}

func (g *globals) preview(ctx context.Context, c *client, id, file string) error {
	res, err := c.do(ctx, request{method: http.MethodGet, path: filePath(id, file)})
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or not wanted
	var p workspace.Preview
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	var raw json.RawMessage
	if err == nil && media == "application/json" {
		if raw, err = c.decode(res, &p); err != nil {
			return err
		}
	} else {
		// An image comes as it is; people get it with `files get`.
		p = workspace.Preview{
			Type: workspace.TypeImage, Path: inWorkspace(file), MediaType: media, SizeBytes: max(res.ContentLength, 0),
			ETag: strings.Trim(res.Header.Get("ETag"), `"`),
		}
		if raw, err = json.Marshal(p); err != nil {
			return fmt.Errorf("describing the file: %w", err)
		}
	}
	if g.json {
		return g.printJSON(raw)
	}
	if p.Content == nil {
		_, err := fmt.Fprintf(g.out, "%s: %s, %s; get it with: agcluster files get %s %s\n",
			visible(p.Path, false), line(p.MediaType), size(p.SizeBytes), id, visible(p.Path, false))
		return err
	}
	text := *p.Content
	if isTerminal(g.out) {
		text = clean(text)
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if _, err := io.WriteString(g.out, text); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if p.Truncated {
		g.note("… this is only the beginning of %s; get all of it with: agcluster files get %s %s", size(p.SizeBytes), id, p.Path)
	}
	return nil
}

func getCommand(g *globals) *cobra.Command {
	var out string
	var force bool
	cmd := &cobra.Command{
		Use: "get SESSION PATH", Short: "Download a file", Args: cobra.ExactArgs(2),
		Example: "  agcluster files get conv-0f1e2d report.pdf\n  agcluster files get conv-0f1e2d data.csv -o - | head",
		RunE: g.action(func(ctx context.Context, c *client, args []string) error {
			id, err := g.session(ctx, c, args[0])
			if err != nil {
				return err
			}
			res, err := c.do(ctx, request{method: http.MethodGet, path: filePath(id, args[1]) + "/download"}) //nolint:bodyclose // save closes it
			if err != nil {
				return err
			}
			return g.save(res, saveRequest{to: out, name: path.Base(inWorkspace(args[1])), force: force})
		}),
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file or folder to write to, - is the standard output (default: the file's own name, here)")
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace a file that is there already, also without -o")
	return cmd
}

func putCommand(g *globals) *cobra.Command {
	var to string
	var overwrite bool
	cmd := &cobra.Command{
		Use: "put SESSION FILE…", Short: "Upload files", Args: cobra.MinimumNArgs(2),
		RunE: g.action(func(ctx context.Context, c *client, args []string) error {
			files := args[1:]
			if err := checkUploads(files); err != nil {
				return err
			}
			id, err := g.session(ctx, c, args[0])
			if err != nil {
				return err
			}
			var up workspace.Uploaded
			raw, err := c.upload(ctx, id, files, inWorkspace(to), overwrite, &up)
			if err != nil || g.json {
				return g.orJSON(raw, err)
			}
			for _, f := range up.Uploaded {
				fmt.Fprintf(g.out, "%s  %s\n", visible(path.Join("/workspace", f.Path), false), size(f.Size))
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&to, "to", "", "folder to put them in; it is made if need be (default: the workspace)")
	cmd.Flags().BoolVar(&overwrite, "overwrite", false, "replace files that are there already")
	return cmd
}

// checkUploads finds out what can't work before anything is sent.
func checkUploads(files []string) error {
	from := map[string]string{}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file", visible(f, false))
		}
		name := filepath.Base(f)
		if other, twice := from[name]; twice {
			return fmt.Errorf("%s and %s would both be called %s", visible(other, false), visible(f, false), visible(name, false))
		}
		from[name] = f
	}
	return nil
}

func (c *client) upload(ctx context.Context, id string, files []string, to string, overwrite bool, out any) (json.RawMessage, error) {
	r, w := io.Pipe()
	form := multipart.NewWriter(w)
	written := make(chan error, 1)
	go func() {
		err := writeParts(form, files)
		_ = w.CloseWithError(err) // it never fails
		written <- err
	}()
	q := url.Values{"overwrite": {strconv.FormatBool(overwrite)}}
	if to != "" {
		q.Set("target_path", to)
	}
	res, err := c.do(ctx, request{
		method: http.MethodPost, path: "/api/files/" + url.PathEscape(id) + "/upload", query: q, body: r,
		// The host may refuse before it has been sent anything.
		header: http.Header{"Content-Type": {form.FormDataContentType()}, "Expect": {"100-continue"}},
	})
	_ = r.CloseWithError(errUnread) // it never fails
	failed := <-written
	if err != nil {
		var p *problem
		if failed != nil && !errors.Is(failed, errUnread) && !errors.Is(failed, io.ErrClosedPipe) && !errors.As(err, &p) {
			return nil, failed
		}
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	return c.decode(res, out)
}

// errUnread tells the writer of a body that nobody reads the rest.
var errUnread = errors.New("the host did not take all")

func writeParts(form *multipart.Writer, files []string) error {
	for _, name := range files {
		if err := writePart(form, name); err != nil {
			return err
		}
	}
	return form.Close()
}

func writePart(form *multipart.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	part, err := form.CreateFormFile("files", filepath.Base(name))
	if err != nil {
		return err
	}
	if _, err := io.Copy(part, f); err != nil {
		return fmt.Errorf("uploading %s: %w", name, err)
	}
	return nil
}

package finance

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

type spendArchive struct {
	Month string `required:"" help:"A closed month, as YYYY-MM." placeholder:"YYYY-MM"`
	Out   string `required:"" help:"Folder for the file and its manifest." type:"existingdir" placeholder:"DIR"`
}

// manifest describes the contents of an archive. The digest is that of the lines, not of
// the compressed file, and must be the one that the month was closed with.
type manifest struct {
	Month   billing.Month `json:"month"`
	File    string        `json:"file"`
	Format  string        `json:"format"`
	Rows    int64         `json:"rows"`
	USD     string        `json:"usd"`
	Nano    billing.Money `json:"cost_nano"`
	SHA256  string        `json:"sha256"`
	Written string        `json:"written_at"`
	By      string        `json:"written_by"`
}

// Run writes the file, reads it back, and only then drops the rows.
func (c spendArchive) Run(a *cli.Context) error {
	m, err := billing.ParseMonth(c.Month)
	if err != nil {
		return cli.Usagef("--month: want YYYY-MM")
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		name := filepath.Join(c.Out, "spend-"+string(m)+".jsonl.gz")
		rows, err := r.Open(a.Ctx, adminapi.Get("/periods"+adminapi.Path(string(m), "rows"), nil))
		if err != nil {
			return err
		}
		defer cli.Closing(rows)
		if err := writeRows(name, rows); err != nil {
			return err
		}
		d, err := readRows(name)
		if err != nil {
			return fmt.Errorf("reading %s back: %w", name, err)
		}
		err = writeManifest(filepath.Join(c.Out, "spend-"+string(m)+".manifest.json"), manifest{
			Month: m, File: filepath.Base(name), Format: "one row per line as JSON, ordered by event_id, gzip",
			Rows: d.Rows, USD: d.Money.String(), Nano: d.Money, SHA256: d.SHA256(), Written: cli.Timestamp(time.Now()), By: cli.Whoami(),
		})
		if err != nil {
			return err
		}
		err = r.Do(a.Ctx, adminapi.Post("/periods"+adminapi.Path(string(m), "archive"), cli.Fields{
			"rows": d.Rows, "cost_usd": d.Money.String(), "sha256": d.SHA256(),
		}), nil)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s: %d rows, $%s, written to %s and dropped\n", m, d.Rows, d.Money, name)
		return err
	})
}

// writeRows writes to a file that appears whole or not at all, and never overwrites
// another.
func writeRows(name string, rows io.Reader) error {
	if _, err := os.Stat(name); err == nil {
		return fmt.Errorf("%s is there already: move it away first", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".tallyroute-archive-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	buffered := bufio.NewWriter(f)
	packed := gzip.NewWriter(buffered)
	_, err = io.Copy(packed, rows)
	err = errors.Join(err, packed.Close(), buffered.Flush(), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Link(f.Name(), name)
}

// readRows computes the digest of what is in the file.
func readRows(name string) (*billing.MonthDigest, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	unpacked, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, err
	}
	d := billing.NewMonthDigest()
	lines := bufio.NewReader(unpacked)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return d, nil
		}
		if err != nil {
			return nil, err
		}
		var row struct {
			Cost billing.Money `json:"cost_nano"`
		}
		if err := json.Unmarshal(line, &row); err != nil {
			return nil, err
		}
		d.AddLine(line, row.Cost)
	}
}

func writeManifest(name string, m manifest) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o600)
}

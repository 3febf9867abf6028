package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/nfo-operator/nfo/internal/plugin/progress"
	"github.com/nfo-operator/nfo/internal/registry"
)

// tries are three attempts, 1 s and 2 s apart, for a registry that does not
// answer. An attempt does not send again what the registry already has.
var tries = wait.Backoff{Steps: 3, Duration: time.Second, Factor: 2}

// execute pushes one artifact after the other, then verifies those that
// it pushed. It continues after a failure; each item records its result.
func (p *publication) execute(ctx context.Context, bars *progress.Progress) {
	for _, i := range p.items {
		if i.source != nil {
			p.conclude(ctx, i, p.push(ctx, i, bars))
		}
	}
	for _, i := range p.items {
		if i.result != resultPushed && i.result != resultOverwritten {
			continue
		}
		err := p.verify(ctx, i)
		if i.unverified = err != nil && ctx.Err() != nil; !i.unverified {
			p.conclude(ctx, i, err)
		}
	}
}

func (p *publication) conclude(ctx context.Context, i *item, err error) {
	switch {
	case err != nil && ctx.Err() != nil:
		i.result = resultInterrupted
	case err != nil:
		i.result, i.err = resultFailed, err
	}
}

// push pushes one artifact. If its tag is at the right digest already,
// push verifies the content and pushes what is missing of it.
func (p *publication) push(ctx context.Context, i *item, bars *progress.Progress) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	done := resultPushed
	switch i.result {
	case resultOverwrite:
		done = resultOverwritten
	case resultPresent:
		err := p.verify(ctx, i)
		if !errors.Is(err, registry.ErrNotFound) || i.sameContent {
			if err == nil && len(i.unattached()) > 0 {
				break
			}
			if err == nil {
				bars.Say("%s: there already", i.name())
			}
			return err
		}
	}
	bar := bars.Start(i.name(), i.size())
	err := p.copy(ctx, i, bar)
	bar.End(err)
	switch {
	case err == nil:
		i.result = done
		p.remember(i)
	case len(i.source.Absent()) > 0 && errors.Is(err, registry.ErrNotFound):
		err = fmt.Errorf("%w; the source lacks platforms: take it from one that has all, or have an administrator set the chart's value mirror.platforms to those that it has", err)
	}
	return err
}

func (p *publication) copy(ctx context.Context, i *item, bar *progress.Bar) error {
	var over digest.Digest
	if i.result == resultOverwrite {
		over = i.current.Digest
	}
	var last error
	err := wait.ExponentialBackoffWithContext(ctx, tries, func(ctx context.Context) (bool, error) {
		bar.Restart(last)
		if last = p.target.client.CopyWith(ctx, i.repository, i.source, bar.Add, p.copyOptions()); last == nil {
			last = p.attach(ctx, i, bar)
		}
		if last == nil && !i.untagged {
			last = p.target.client.Tag(ctx, i.repository, i.entry.ArtifactVersion, i.source, over)
		}
		if errors.Is(last, registry.ErrUnavailable) && ctx.Err() == nil {
			return false, nil
		}
		return true, last
	})
	if wait.Interrupted(err) && last != nil { // all tries failed
		return last
	}
	return err
}

func (p *publication) copyOptions() registry.CopyOptions {
	o := registry.CopyOptions{Stall: p.stall}
	if p.target.mirror != nil {
		o.Known = p.known
	}
	return o
}

func (p *publication) verify(ctx context.Context, i *item) error {
	tag := i.entry.ArtifactVersion
	if i.untagged {
		tag = ""
	}
	if err := p.target.client.VerifyWith(ctx, i.repository, tag, i.want(), registry.Selection{Of: i.source}); err != nil {
		return err
	}
	if i.result == resultPresent {
		return nil // inspectSatellites found which satellites exist already
	}
	return p.verifySatellites(ctx, i)
}

// outcome returns the error that the command ends with.
func (p *publication) outcome(ctx context.Context) error {
	var errs []error
	asked, done, unverified, missing, moved := 0, 0, 0, 0, 0
	for _, i := range p.items {
		switch i.result {
		case resultMissing:
			missing++
		case resultMoved:
			moved++
		}
		if i.source == nil {
			continue
		}
		asked++
		switch {
		case i.unverified:
			unverified++
		case i.result == resultPushed || i.result == resultOverwritten || i.result == resultPresent:
			done++
		}
		if i.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", i.name(), i.err))
		}
	}
	switch {
	case ctx.Err() != nil && asked > 0 && done < asked:
		errs = append(errs, fmt.Errorf("interrupted: %d of %d artifacts are done, and %d pushed but not verified; the same command goes on", done, asked, unverified))
	case len(errs) > 0:
		errs = append(errs, fmt.Errorf("%d of %d artifacts failed%s", len(errs), asked, advice(errs)), p.target.ifDenied(errs))
	case asked == 0 && missing > 0:
		errs = append(errs, fmt.Errorf("%d of %d artifacts are missing", missing, len(p.items)))
	}
	if asked == 0 && moved > 0 {
		errs = append(errs, fmt.Errorf("%d of %d tags are not where they were when the manifest was sealed; its condition Ready says how they come back", moved, len(p.items)))
	}
	return errors.Join(errs...)
}

// advice suggests the same command again, unless every failure is
// a refusal or unreadable content: those would fail the same way.
func advice(failures []error) string {
	lasts := func(err error) bool {
		return errors.Is(err, registry.ErrUnreadable) || errors.Is(err, registry.ErrDenied)
	}
	if slices.ContainsFunc(failures, func(err error) bool { return !lasts(err) }) {
		return "; the same command goes on"
	}
	return ""
}

// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stile-project/stile"
)

// Whoever may ask a metadata server may ask it for any audience, and for one after another. So crossings that are made for
// a question are kept in memory alone, where the endpoint's shelves bound how many there are: a store would have to keep
// each of them until it ends. And of their exchanges, which go on when whoever asked hangs up, so many are under way.
const (
	furtherAtOnce  = 64
	furtherWaiting = 256
	furtherPause   = 10 * time.Second // after more than these; longer than a keeper would try again within one exchange
)

// turns are who may exchange now, and who waits for that.
type turns struct{ running, waiting chan struct{} }

func newTurns() turns {
	return turns{make(chan struct{}, furtherAtOnce), make(chan struct{}, furtherAtOnce+furtherWaiting)}
}

var errCrowded = errors.New("too many other scopes and audiences are being asked for")

// take waits for a turn, which the caller gives back.
func (t turns) take(ctx context.Context) (back func(), err error) {
	const op = "wait for a turn"
	select {
	case t.waiting <- struct{}{}:
	default:
		return nil, &stile.Error{Op: op, Hint: "ask for the same ones again and again", RetryAfter: furtherPause, Err: fmt.Errorf("%w: %w", stile.ErrTemporary, errCrowded)}
	}
	select {
	case t.running <- struct{}{}:
		return func() { <-t.running; <-t.waiting }, nil
	case <-ctx.Done():
		<-t.waiting
		return nil, &stile.Error{Op: op, Err: fmt.Errorf("%w: %w: %w", stile.ErrTemporary, errCrowded, context.Cause(ctx))}
	}
}

// A further target exchanges in its turn. It asks the source itself, so that all of an exchange is in that turn.
type further struct {
	stile.Target
	source stile.Source
	turns  turns
}

// Exchange takes no notice of the token, which is that of [later].
func (f *further) Exchange(ctx context.Context, _ stile.SubjectToken) (stile.Credential, error) {
	back, err := f.turns.take(ctx)
	if err != nil {
		return stile.Credential{}, err
	}
	defer back()
	token, err := f.source.SubjectToken(ctx, f.Audience())
	if err != nil {
		return stile.Credential{}, err
	}
	return f.Target.Exchange(ctx, token)
}

// CacheKey is the target's.
func (f *further) CacheKey() stile.Key { return keyOf(f.Target) }

// A later source is one that its target asks.
type later struct{ stile.Source }

// SubjectToken gives nothing yet.
func (*later) SubjectToken(context.Context, string) (stile.SubjectToken, error) {
	return stile.SubjectToken{}, nil
}

// CacheKey is the source's.
func (l *later) CacheKey() stile.Key { return keyOf(l.Source) }

// keyOf is the zero key for what does not tell its own.
func keyOf(v any) stile.Key {
	if k, ok := v.(stile.Keyed); ok {
		return k.CacheKey()
	}
	return stile.Key{}
}

// inTurn is the crossing whose exchanges wait for their turn.
func (t turns) inTurn(source stile.Source, target stile.Target) stile.Crossing {
	return stile.Cross(&later{source}, &further{target, source, t})
}

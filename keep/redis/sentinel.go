// SPDX-License-Identifier: Apache-2.0

package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/keep"
	"github.com/stile-project/stile/keep/shared"
)

// toMaster dials whichever server the sentinels say is in charge: for each connection, one after the other, until one of
// them answers. A server that was in charge closes its connections, or says READONLY, which has go-redis close them.
//
// It stands in place of go-redis' own client for sentinels, which ends the program when a sentinel gives an empty answer
// (sentinelFailover.MasterAddr), and keeps a goroutine and a connection to hear of changes.
// The protocol is https://redis.io/docs/latest/develop/reference/sentinel-clients/.
func (o *Options) toMaster(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var failed error
		for _, sentinel := range o.Addresses {
			master, err := o.masterBy(ctx, sentinel, dial)
			if err == nil {
				return dial(ctx, network, master)
			}
			failed = errors.Join(failed, err)
		}
		return nil, failed
	}
}

// masterBy asks one sentinel. A sentinel that does not answer leaves time for the next ones.
func (o *Options) masterBy(ctx context.Context, sentinel string, dial dialFunc) (string, error) {
	ctx, cancel := keep.Patience(ctx, dialTime/time.Duration(len(o.Addresses)+1))
	defer cancel()
	rdb := redis.NewClient(settings(sentinel, 0, o.sentinelCredentials, dial))
	defer func() { _ = rdb.Close() }()
	defer context.AfterFunc(ctx, func() { _ = rdb.Close() })() // which go-redis would not notice
	const op = "ask a sentinel for the master"
	at, err := rdb.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", o.Master).StringSlice()
	switch {
	case errors.Is(err, redis.Nil):
		return "", &stile.Error{Op: op, Cloud: "Redis sentinel at " + sentinel, Err: fmt.Errorf("%w: it knows no master of that name", stile.ErrMisuse),
			Hint: "SENTINEL MASTERS tells the names"}
	case err != nil:
		return "", fault(ctx, op, "Redis sentinel at "+sentinel, err)
	case len(at) != 2:
		return "", fault(ctx, op, "Redis sentinel at "+sentinel, errors.New("no address"))
	}
	master, err := shared.Addresses(net.JoinHostPort(at[0], at[1]), "")
	if err != nil || len(master) != 1 {
		return "", fault(ctx, op, "Redis sentinel at "+sentinel, errors.New("no address"))
	}
	return master[0], nil
}

func (o *Options) sentinelCredentials(context.Context) (user, password string, err error) {
	return o.SentinelUsername, o.SentinelPassword.Reveal(), nil
}

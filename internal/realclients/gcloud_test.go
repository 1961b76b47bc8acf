// SPDX-License-Identifier: Apache-2.0

//go:build unix

package realclients_test

import (
	"strings"
	"testing"

	"github.com/stile-project/stile/lab/stage"
)

const (
	orders = "gs://" + stage.Warehouse + "/" + stage.OrdersName
	direct = "gs://" + stage.Direct + "/" + stage.OrdersName
)

var gcloudTests = clientTests{
	"stile exec gives it a service account's token": func(t *testing.T, l *lab) {
		got := l.shell(t).prints(t, "stile", "exec", "warehouse", "--", "gcloud", "storage", "cat", orders)
		wantOrders(t, got)
	},
	"stile exec lists": func(t *testing.T, l *lab) {
		got := l.shell(t).prints(t, "stile", "exec", "warehouse", "--", "gcloud", "storage", "ls", "gs://"+stage.Warehouse)
		if got != orders+"\n" {
			t.Errorf("listed %q, want %q", got, orders)
		}
	},
	"stile exec gives it a token of direct access": func(t *testing.T, l *lab) {
		got := l.shell(t).prints(t, "stile", "exec", "direct", "--", "gcloud", "storage", "cat", direct)
		wantOrders(t, got)
	},
	// It takes no account whose name is default, and one without a service account has no other of Google's.
	"a metadata server of direct access": func(t *testing.T, l *lab) {
		wantOrders(t, l.shell(t).prints(t, "sh", "-c", `set -e
run=$(mktemp -d /tmp/stile.XXXXXX)
trap 'kill $serving; wait; rm -r "$run"' EXIT
set -- serve --config "$STILE_CONFIG" --gce direct=127.0.0.1:0 --admin "unix:$run/admin"
stile "$@" 2>/dev/null &
serving=$!
stile status --admin "unix:$run/admin" --wait --timeout 30s >/dev/null
eval "$(stile "$@" --print-env direct)"
gcloud storage cat `+direct))
	},
	"stile token fills its token file": func(t *testing.T, l *lab) {
		s := l.shell(t)
		file := s.write(t, "token", s.prints(t, "stile", "token", "warehouse"))
		wantOrders(t, s.prints(t, "gcloud", "--access-token-file="+file, "storage", "cat", orders))
	},
	"its own signer satisfies the lab": func(t *testing.T, l *lab) {
		s := l.shell(t)
		s = s.with(map[string]string{"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": s.write(t, "credential.json", onThisInstance(l, stage.CredentialFile))})
		if token := s.prints(t, "gcloud", "auth", "print-access-token"); !strings.HasPrefix(token, "ya29.") {
			t.Errorf("gcloud printed no access token for the credential file: %d bytes", len(token))
		}
		wantOrders(t, s.prints(t, "gcloud", "storage", "cat", orders))
	},
	"stile reads the same credential file": func(t *testing.T, l *lab) {
		s := l.shell(t)
		file := s.write(t, "credential.json", stage.CredentialFile)
		wantOrders(t, s.prints(t, "stile", "exec", "--credential-file", file, "--", "gcloud", "storage", "cat", orders))
	},
	"the machine's own token": func(t *testing.T, l *lab) {
		s := l.shell(t)
		if token := s.prints(t, "gcloud", "auth", "print-access-token"); !strings.HasPrefix(token, "ya29.") {
			t.Errorf("gcloud printed no access token for the machine: %d bytes", len(token))
		}
		s.isRefused(t, stage.Resizer+" does not have", "gcloud", "storage", "cat", orders)
	},
	"refused: a token that nobody issued": func(t *testing.T, l *lab) {
		s := l.shell(t).with(map[string]string{"CLOUDSDK_AUTH_ACCESS_TOKEN": "ya29.nobody-issued-this"})
		s.isRefused(t, "401", "gcloud", "storage", "cat", orders)
	},
	"refused: no binding on the bucket": func(t *testing.T, l *lab) {
		l.shell(t).isRefused(t, "403", "stile", "exec", "direct", "--", "gcloud", "storage", "cat", orders)
	},
	"refused: a service account bound to the role's ARN": func(t *testing.T, l *lab) {
		s := l.shell(t)
		file := s.write(t, "credential.json", onThisInstance(l, strings.ReplaceAll(stage.CredentialFile, stage.Reader, stage.Unbound)))
		s = s.with(map[string]string{"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": file})
		s.isRefused(t, "iam.serviceAccounts.getAccessToken", "gcloud", "auth", "print-access-token")
	},
}

// onThisInstance points a credential file's metadata URLs at the lab's instance: gcloud knows no variable for them.
func onThisInstance(l *lab, file string) string {
	return strings.ReplaceAll(file, "http://169.254.169.254/", l.vars["AWS_EC2_METADATA_SERVICE_ENDPOINT"])
}

func wantOrders(t *testing.T, got string) {
	t.Helper()
	if got != stage.Orders {
		t.Errorf("read %q, want %q", got, stage.Orders)
	}
}

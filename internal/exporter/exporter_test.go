// SPDX-License-Identifier: Apache-2.0

package exporter_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/exporter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var full = slices.Contains(exporter.Linked(), "otlp")

const hush = "hush-hush-secret"

// opened opens with this environment, as name=value.
func opened(file *config.Traces, env ...string) (sent *exporter.Traces, told string, err error) {
	var log bytes.Buffer
	sent, err = exporter.Open(file, exporter.Surroundings{Version: "v1", Log: slog.New(slog.NewTextHandler(&log, nil)), Lookup: func(name string) (string, bool) {
		for _, entry := range env {
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}})
	return sent, log.String(), err
}

func TestWhoWantsTraces(t *testing.T) {
	const to = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"
	file := &config.Traces{Endpoint: "http://127.0.0.1:1", Place: "stile.yaml:9:3"}
	for name, test := range map[string]struct {
		file *config.Traces
		env  []string
		on   bool
		told string // of an environment that is left alone, by the full build
	}{
		"nobody":            {nil, nil, false, ""},
		"the file":          {file, nil, true, ""},
		"the environment":   {nil, []string{to}, true, ""},
		"of traces":         {nil, []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://a/x/v1/traces"}, true, ""},
		"both":              {file, []string{to}, true, ""},
		"other variables":   {nil, []string{"OTEL_SERVICE_NAME=a", "OTEL_TRACES_SAMPLER=always_on"}, false, ""},
		"disabled":          {nil, []string{to, "OTEL_SDK_DISABLED=true"}, false, "OTEL_SDK_DISABLED turns them off"},
		"the file disabled": {file, []string{"OTEL_SDK_DISABLED=TRUE"}, false, "OTEL_SDK_DISABLED turns them off"},
		"not disabled":      {nil, []string{to, "OTEL_SDK_DISABLED=1"}, true, ""},
		"none":              {nil, []string{to, "OTEL_TRACES_EXPORTER=none"}, false, "OTEL_TRACES_EXPORTER turns them off"},
		"the file, none":    {file, []string{"OTEL_TRACES_EXPORTER=none"}, false, "OTEL_TRACES_EXPORTER turns them off"},
		"otlp":              {nil, []string{to, "OTEL_TRACES_EXPORTER=otlp"}, true, ""},
		"another exporter":  {nil, []string{to, "OTEL_TRACES_EXPORTER=zipkin"}, false, "another exporter than otlp"},
		"console alone":     {nil, []string{"OTEL_TRACES_EXPORTER=console"}, false, "another exporter than otlp"},
		"otlp alone":        {nil, []string{"OTEL_TRACES_EXPORTER=otlp"}, false, "nothing says where to: want OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:PORT"},
		"none alone":        {nil, []string{"OTEL_TRACES_EXPORTER=none"}, false, ""},
		"gRPC":              {nil, []string{to, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, false, "want http/protobuf"},
		"gRPC elsewhere":    {nil, []string{to, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"}, true, ""},
		"the file, gRPC":    {file, []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, true, ""},
		"no URL":            {nil, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + hush + ":4317"}, false, "OTEL_EXPORTER_OTLP_ENDPOINT is no URL"},
	} {
		sent, told, err := opened(test.file, test.env...)
		switch {
		case !full && test.file != nil:
			if !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), "stile.yaml:9:3: misused: OpenTelemetry is not in this build; the full build has it: go build -tags full ./cmd/stile") {
				t.Errorf("%s: %v", name, err)
			}
		case !full:
			wants := strings.Contains(strings.Join(test.env, " "), "_ENDPOINT=")
			if sent != nil || err != nil || strings.Contains(told, "is left alone") != wants || strings.Count(told, "\n") > 1 {
				t.Errorf("%s: sends %t, %v, and tells %q", name, sent != nil, err, told)
			}
		default:
			if err != nil || (sent != nil) != test.on || !strings.Contains(told, test.told) || (told != "") != (test.told != "") {
				t.Errorf("%s: sends %t, %v, and tells %q", name, sent != nil, err, told)
			}
		}
		if strings.Contains(told, hush) {
			t.Errorf("%s: a variable's value is told: %s", name, told)
		}
		sent.Close(time.Second)
	}
}

// Where nothing is sent, nothing is changed.
func TestNoneIsNothing(t *testing.T) {
	t.Parallel()
	var none *exporter.Traces
	client, handler := &http.Client{}, http.NotFoundHandler()
	if none.Options() != nil || none.Client(client) != client || none.Handler("ecs", handler) == nil {
		t.Error("something is told of")
	}
	none.Close(time.Hour)
}

// SPDX-License-Identifier: Apache-2.0

package gce_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/gce"
	"github.com/stile-project/stile/serve/offer"
)

// supplier stands for a keeper.
type supplier struct{}

func (supplier) Credential(context.Context) (stile.Credential, error) {
	return stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret("ya29.EXAMPLE"), Expires: time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC)}, nil
}

func ExampleNew() {
	h, err := gce.New(offer.Crossing{Name: "warehouse", Google: &offer.Google{
		AccessToken: func([]string) (stile.Supplier, error) { return supplier{}, nil },
		Email:       "etl@demo-proj.iam.gserviceaccount.com",
	}}, gce.Options{Clock: func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	r := httptest.NewRequest(http.MethodGet, "/computeMetadata/v1/instance/service-accounts/default/token", nil)
	r.Header.Set("Metadata-Flavor", "Google")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 {"access_token":"ya29.EXAMPLE","expires_in":3600,"token_type":"Bearer"}
}

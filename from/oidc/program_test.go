// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

func program(string) int { return 0 }

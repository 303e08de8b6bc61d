package host

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAProviderIsAskedAtMostOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p presence
		asked := 0
		var answer error
		ask := func() string {
			return p.ask(t.Context(), func(ctx context.Context) error {
				asked++
				if answer == nil {
					return nil
				}
				if errors.Is(answer, context.DeadlineExceeded) {
					<-ctx.Done()
					return ctx.Err()
				}
				return answer
			}, func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") })
		}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if got := ask(); got != "" {
					t.Errorf("got %q", got)
				}
			})
		}
		wg.Wait()
		if asked != 1 {
			t.Errorf("it was asked %d times", asked)
		}
		answer = errors.New("no docker for hunter2")
		if got := ask(); got != "" {
			t.Errorf("the last answer holds, got %q", got)
		}
		time.Sleep(askAgain) // on the bubble's clock
		if got := ask(); got != "no docker for ***" || asked != 2 {
			t.Errorf("got %q after %d", got, asked)
		}
		time.Sleep(askAgain) // on the bubble's clock
		answer = context.DeadlineExceeded
		if got := ask(); got != "it did not answer within 5s" {
			t.Errorf("got %q", got)
		}
	})
}

package admission

import (
	"maps"
	"slices"

	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/vault"
	"deputy/internal/uuid7"
)

// A request that would make tasks with secrets is decided twice: see package vault.

// depositTries: a request that always finds that it needs more gives up.
const depositTries = 3

// idFor gives the id of a new task: one with secrets has that under which they are
// on the disk, or are to be.
func (a *admission) idFor(item *policy.Item) string {
	if item.Secrets == nil {
		return uuid7.New()
	}
	for id, secrets := range a.written {
		if maps.Equal(secrets, item.Secrets) && !slices.Contains(a.taken, id) {
			a.taken = append(a.taken, id)
			return id
		}
	}
	id := uuid7.New()
	a.missing[id] = item.Secrets
	return id
}

// deposit has the vault write what this request's tasks lack, and decides it anew.
func (a *admission) deposit() {
	if a.tries++; a.tries > depositTries {
		a.reply.Refuse(0, vault.NotWritten("other requests took the place of its tasks each time that their sensitive values had been written"))
		a.drop()
		return
	}
	d := &vault.Deposit{Caller: a.ad.Callers.Account(a.id.Caller), Files: a.missing, Bytes: int64(a.r.Size)}
	d.Done = func(refusal *deputy.Error) {
		if refusal != nil {
			a.reply.Refuse(0, refusal)
			a.drop()
			return
		}
		if a.written == nil {
			a.written = d.Files
		} else {
			maps.Copy(a.written, d.Files)
		}
		a.decideAnew(func(j *Judged) {
			a.ad.Vault.Release(d)
			tries := a.tries
			a.decide(j)
			if a.tries == tries { // otherwise it waits once more
				a.drop()
			}
		})
	}
	a.ad.Vault.Put(d)
}

// keep lets the tasks that are being accepted have their files.
func (a *admission) keep() {
	for _, id := range a.taken {
		delete(a.written, id)
		a.ad.Vault.Keep(id)
	}
}

// drop drops what was written and is not needed.
func (a *admission) drop() { a.ad.Vault.Discard(slices.Collect(maps.Keys(a.written))...) }

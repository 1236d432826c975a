import { expect, test } from 'vitest'

import type { ArtifactStatus } from '../../../../agent/artifacts/artifact-status.ts'
import { tellSyncProgress } from '../../../../agent/composition/control/sync-progress.ts'
import { until } from '../../../support/wait-until.ts'

function artifactAt(bytes: () => number | undefined): { readonly status: () => ArtifactStatus } {
  const status = (): ArtifactStatus => {
    const now = bytes()
    const progress =
      now === undefined
        ? undefined
        : {
            files: 0,
            totalFiles: 1,
            bytes: now,
            totalBytes: 5_000_000,
            bytesPerSecond: undefined,
            remainingSeconds: undefined,
          }
    return { name: 'model', phase: 'downloading', progress } as ArtifactStatus // only these are looked at
  }
  return { status }
}

test('tells how far a download is, only while it moves, and nothing after its end', async () => {
  const told: unknown[] = []
  let bytes: number | undefined = 1_500_000
  const end = new AbortController()
  const telling = tellSyncProgress(
    { artifacts: () => [artifactAt(() => bytes)], onProgress: (details) => told.push(details), everyMs: 1 },
    end.signal,
  )
  await until(() => told.length === 1)
  await new Promise((resolve) => setTimeout(resolve, 20))
  bytes = 3_000_000
  await until(() => told.length === 2)
  bytes = undefined
  end.abort()
  await telling
  expect(told).toEqual([
    { step: 'downloading', downloaded: 'model: 1.5 MB of 5.0 MB' },
    { step: 'downloading', downloaded: 'model: 3.0 MB of 5.0 MB' },
  ])
})

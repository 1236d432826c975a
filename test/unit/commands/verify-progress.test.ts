import { PassThrough } from 'node:stream'

import { expect, it } from 'vitest'

import { verifyArtifact } from '../../../agent/commands/artifacts.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { socketPathIn } from '../../../agent/status/status-client.ts'
import type { StatusDocument } from '../../../agent/status/status-document.ts'
import type { VerificationReport } from '../../../agent/status/release-documents.ts'
import { startStatusServer } from '../../../agent/status/status-server.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { configurationReport, statusDocument } from '../../support/status-document.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const report: VerificationReport = { version: 1, name: 'model', releaseId: 'r', files: 4, bytes: 40, damaged: [] }
const result = 'release r: 4 files, 40 bytes read, 0 damaged\n'
const clear = '\r\u001b[K'

it('shows on a terminal how far it is, in one line that is gone when it ends', async () => {
  const shown = await verify({ isTerminal: true, endsAfter: 3 })
  expect(shown.stdout).toBe(result)
  expect(shown.stderr.split(clear).slice(0, 3)).toEqual([
    '',
    'read 25 %: 1 of 4 files, 10 of 40 bytes',
    'read 50 %: 2 of 4 files, 20 of 40 bytes',
  ])
  expect(shown.stderr.endsWith(clear)).toBe(true)
})

it('shows nothing where stderr is no terminal, and does not ask how far it is', async () => {
  expect(await verify({ isTerminal: false, endsAfter: 0 })).toEqual({ stdout: result, stderr: '', questions: 0 })
})

it('fails as the verification does, with no line left', async () => {
  const failure = new AgentError('the release was replaced')
  const shown = await verify({ isTerminal: true, endsAfter: 1, failure })
  expect(shown.error).toMatchObject({ message: 'the release was replaced' })
  expect(shown.stderr.endsWith(clear)).toBe(true)
})

it('goes on without a line when the agent cannot say how far it is', async () => {
  const status = (): never => {
    throw new AgentError('no status')
  }
  const shown = await verify({ isTerminal: true, endsAfter: 1, status })
  expect(shown).toEqual({ stdout: result, stderr: clear, questions: 1 })
})

interface Shown {
  readonly stdout: string
  readonly stderr: string
  /** How often the agent was asked how far it is. */
  readonly questions: number
  readonly error?: unknown
}

interface Verifying {
  readonly isTerminal: boolean
  /** The verification takes until so many such questions. */
  readonly endsAfter: number
  readonly failure?: AgentError
  readonly status?: (question: number) => StatusDocument
}

/** Verifies beside an agent that is a file further at each question. */
async function verify({ isTerminal, endsAfter, failure, status = fileByFile }: Verifying): Promise<Shown> {
  await using folder = await tempFolder()
  const socket = socketPathIn(folder.path)
  const enough = Promise.withResolvers<undefined>()
  let questions = 0
  if (endsAfter === 0) enough.resolve(undefined)
  const requests = {
    status: () => {
      questions += 1
      if (questions === endsAfter) enough.resolve(undefined)
      return status(questions)
    },
    configuration: () => configurationReport(),
    recentLogs: () => ({ version: 1 as const, run: 'r', now: '', lines: [], provisioned: true, streams: [] }),
    sync: () => Promise.resolve(),
    refresh: () => Promise.resolve(),
    releases: (name: string) => ({ version: 1, name, releases: [] }) as const,
    verify: async () => {
      await enough.promise
      if (failure !== undefined) throw failure
      return report
    },
    rollBack: () => Promise.resolve(),
  }
  await using _ = await startStatusServer({ socketPath: socket, requests, log: new RecordingLog() })
  const [stdout, stderr] = [new PassThrough(), Object.assign(new PassThrough(), { isTTY: isTerminal })]
  const context = { signal: AbortSignal.timeout(20_000), stdout, stderr, service: {}, onHangup: () => undefined }
  const options = { name: 'model', configFile: 'unused', socket, progressEveryMs: 5 }
  const error = await verifyArtifact(options, context).catch((thrown: unknown) => thrown)
  const written = { stdout: textOf(stdout), stderr: textOf(stderr), questions }
  return error === undefined ? written : { ...written, error }
}

function fileByFile(files: number): StatusDocument {
  const verification = { files, totalFiles: 4, bytes: 10 * files, totalBytes: 40 }
  const part = { state: 'ok', phase: 'idle', files: 4, bytes: 40, fetchedFiles: 0, fetchedBytes: 0 }
  return statusDocument({
    artifacts: [
      { ...part, name: 'other', verification: { ...verification, files: 0 } },
      { ...part, name: 'model', verification },
    ],
  })
}

function textOf(stream: PassThrough): string {
  stream.setEncoding('utf8')
  let text = ''
  for (let chunk: unknown = stream.read(); typeof chunk === 'string'; chunk = stream.read()) text += chunk
  return text
}

import { callAgent, socketPathIn } from '../../agent/status/status-client.ts'
import type { ConfigurationReport } from '../../agent/status/status-document.ts'
import type { ApplianceFiles } from './appliance-files.ts'
import { waitUntil } from './wait-until.ts'

/** What a change sets, all of which is there or nothing. */
export interface Marks {
  readonly flushSeconds: number
  readonly refreshSeconds: number
  readonly name: string
}

/** What is in use; while one session takes the place of the other, nobody answers. */
export async function marksOf({ runtimeFolder }: Pick<ApplianceFiles, 'runtimeFolder'>): Promise<Marks> {
  const question = {
    socketPath: socketPathIn(runtimeFolder),
    method: 'GET',
    path: '/configuration',
    withinMs: 5_000,
  } as const
  let body: unknown
  await waitUntil('the agent answers', async () => {
    body = await callAgent(question).then(
      (answer) => answer.body,
      () => undefined,
    )
    return body !== undefined
  })
  const values = new Map((body as ConfigurationReport).values.map(({ path, value }) => [path, value])) // the agent's own
  return {
    flushSeconds: Number(values.get('logs.flushSeconds')),
    refreshSeconds: Number(values.get('cameras.refreshSeconds')),
    name: JSON.stringify(values.get('device.name')),
  }
}

export function isSame(one: Marks, other: Marks): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

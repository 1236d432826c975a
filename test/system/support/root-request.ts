import { randomUUID } from 'node:crypto'
import { chown, readFile, rename, stat, writeFile } from 'node:fs/promises'

import { paths, type Appliance } from './appliance.ts'
import { pollUntil } from './poll-until.ts'

export interface Answer {
  readonly result: string
  readonly code: string
}

/** Puts a request for root where the agent puts its own, written and owned as one of the agent's; answers its id. */
export async function placeRequest(appliance: Appliance, text: string, id: string = randomUUID()): Promise<string> {
  const { container } = appliance
  const { uid, gid } = await stat(container.path(paths.runtime))
  const file = container.path(`${paths.runtime}/requests/${id}`)
  await writeFile(file, text, { mode: 0o600 })
  await chown(file, uid, gid)
  await rename(file, `${file}.json`)
  return id
}

/** Waits for root's answer to a request. */
export async function answerTo(appliance: Appliance, id: string): Promise<Answer> {
  const file = appliance.container.path(`${paths.runtime}/answers/${id}.json`)
  const found: { text: string | undefined } = { text: undefined }
  await pollUntil(
    `an answer to ${id}`,
    async () => {
      found.text = await readFile(file, 'utf8').catch(() => undefined)
      return found.text !== undefined
    },
    30_000,
  )
  return JSON.parse(found.text ?? '') as Answer
}

export async function askRoot(appliance: Appliance, request: object): Promise<Answer> {
  return await answerTo(appliance, await placeRequest(appliance, JSON.stringify(request)))
}

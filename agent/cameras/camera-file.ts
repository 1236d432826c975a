import * as z from 'zod'

import { parseStreamUrl, withCredentials, withoutCredentials } from './stream-url.ts'

/** As the first version of the agent wrote it: the URL as it stands in the secret. */
const firstSchema = z.object({
  username: z.string(),
  password: z.string(),
  streamUrl: z.string(),
  versionId: z.string(),
})
const schema = z.object({
  username: z.string(),
  password: z.string(),
  streamUrl: z.string(),
  streamUrlWithCredentials: z.string(),
  versionId: z.string(),
  changedAt: z.string(),
})

/** What consumers read from `<runtime>/cameras/<name>.json`. Fields are only ever added. */
export interface CameraFile {
  readonly username: string
  readonly password: string
  /** Without user name and password; empty where the secret has none. */
  readonly streamUrl: string
  /** With user name and password, percent-encoded; as `streamUrl` where there are none, or it takes none. */
  readonly streamUrlWithCredentials: string
  /** Of the secret in Secrets Manager. */
  readonly versionId: string
  /** When this version was written here: ISO 8601, in cloud time. */
  readonly changedAt: string
}

/** Throws when it is none; fields that are not known are left out. */
export function parseCameraFile(json: unknown): CameraFile {
  return schema.parse(json)
}

/** The same of what the first version of the agent wrote, with when that was. Throws when it is none. */
export function parseFirstCameraFile(json: unknown, changedAt: string): CameraFile {
  const { streamUrl: url, ...first } = firstSchema.parse(json)
  const inUrl = first.username === '' && first.password === '' ? parseStreamUrl(url)?.credentials : undefined
  const { username, password } = inUrl ?? first
  return {
    username,
    password,
    streamUrl: withoutCredentials(url),
    streamUrlWithCredentials: withCredentials(url, username, password),
    versionId: first.versionId,
    changedAt,
  }
}

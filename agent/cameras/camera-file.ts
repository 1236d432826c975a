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

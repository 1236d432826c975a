/** The input of a pre-provisioning hook ("Pre-provisioning hooks", AWS IoT Core developer guide). */
export interface HookEvent {
  /** The certificate that the client connected with. */
  readonly claimCertificateId: string
  /** The certificate that is to be provisioned. */
  readonly certificateId: string
  readonly certificatePem: string
  readonly templateArn: string
  readonly clientId: string
  readonly parameters: Readonly<Record<string, string>>
}

export interface HookDeps {
  readonly listThings: (input: {
    readonly principal: string
    readonly nextToken: string | undefined
  }) => Promise<{ readonly things?: readonly string[]; readonly nextToken?: string | undefined }>
  readonly log: (line: string) => void
}

/** Makes the handler, which takes a HookEvent and refuses everything else. */
export function createHandler(deps: HookDeps): (event: unknown) => Promise<{ readonly allowProvisioning: boolean }>

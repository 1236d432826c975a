/** What root tells of updates of the agent. Versions are those of the package. */
export interface UpdatePart {
  /** `phase` is `installing`, `watching`, `reverting` or `ended`; `until` is when it goes back unless it is confirmed. */
  readonly trial?: { readonly from: string; readonly to: string; readonly phase: string; readonly until?: string }
  /** `outcome` is `confirmed`, `rolled-back` or `stuck`; `at` is by the clock of the appliance. */
  readonly last?: {
    readonly outcome: string
    readonly from: string
    readonly to: string
    readonly at?: string
    readonly reason?: string
  }
}

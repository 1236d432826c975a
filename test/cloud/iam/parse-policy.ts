import { z } from 'zod'

import { isKnownOperator, isNegatedOperator } from './policy-conditions.ts'
import type { PolicyCondition, PolicyDocument, PolicyStatement } from './policy-document.ts'

/** A policy holds something that the evaluator does not know, and therefore refuses; the message names each. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError'
}

/**
 * Reads a policy as IAM's grammar has it ("Grammar of the IAM JSON policy language"), the part of it that the local
 * cloud knows: version 2012-10-17, no Not... elements, principals of the kinds AWS and Service. Throws a PolicyError
 * that names every element, operator, variable or principal that it does not know.
 */
export function parsePolicy(json: unknown): PolicyDocument {
  const parsed = document.safeParse(json)
  if (!parsed.success) throw new PolicyError(z.prettifyError(parsed.error))
  return { version: parsed.data.Version, statements: parsed.data.Statement }
}

function oneOrMany<T extends z.ZodType>(schema: T): z.ZodPreprocess<z.ZodArray<T>> {
  return z.preprocess((value): unknown => (Array.isArray(value) ? value : [value]), z.array(schema).min(1))
}

const action = z.string().regex(/^(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$/, 'must be * or service:Action')

const resource = z
  .string()
  .regex(/^(\*|arn:([^:]*:){4}.+)$/, 'must be * or an ARN')
  .superRefine(checkVariables)

const awsPrincipal = z
  .string()
  .regex(
    /^(\*|\d{12}|arn:aws[a-z-]*:(iam::\d{12}:(root|(user|role)\/[\w+=,.@/-]+)|sts::\d{12}:assumed-role\/[\w+=,.@/-]+))$/,
    'must be *, an account, or the full ARN of a root, user, role or session, without wildcards',
  )

const servicePrincipal = z.string().regex(/^[a-z0-9.-]+\.amazonaws\.com$/, 'must be a service such as s3.amazonaws.com')

// "*" and {"AWS": "*"} mean the same ("AWS JSON policy elements: Principal").
const principal = z.preprocess(
  (value) => (value === '*' ? { AWS: '*' } : value),
  z
    .strictObject({ AWS: oneOrMany(awsPrincipal).optional(), Service: oneOrMany(servicePrincipal).optional() })
    .refine(({ AWS, Service }) => AWS !== undefined || Service !== undefined, 'must name somebody'),
)

const conditionValue = z.union([z.string(), z.boolean(), z.number()]).transform(String)

const conditions = z
  .record(
    z.string(),
    z.record(z.string().regex(/^[A-Za-z0-9-]+:\S+$/, 'must be a condition key'), oneOrMany(conditionValue)),
  )
  .transform(listConditions)
  .superRefine((list, context) => {
    for (const condition of list) checkCondition(condition, context)
  })

const statementFields = z.strictObject({
  Sid: z.string().optional(),
  Effect: z.enum(['Allow', 'Deny']),
  Principal: principal.optional(),
  Action: oneOrMany(action),
  Resource: oneOrMany(resource).optional(),
  Condition: conditions.default([]),
})

type ParsedStatement = Readonly<z.infer<typeof statementFields>>

const statement = statementFields
  .refine(({ Principal, Resource }) => Principal !== undefined || Resource !== undefined, {
    error: 'must have a Resource, or be a trust policy with a Principal',
  })
  .transform(toStatement)

const document = z.strictObject({
  Version: z.literal('2012-10-17'),
  Id: z.string().optional(),
  Statement: oneOrMany(statement),
})

function listConditions(block: Readonly<Record<string, Record<string, readonly string[]>>>): PolicyCondition[] {
  return Object.entries(block).flatMap(([operator, keys]) =>
    Object.entries(keys).map(([key, values]) => ({ operator, key, values })),
  )
}

function checkCondition({ operator, values }: PolicyCondition, context: z.RefinementCtx): void {
  const refuse = (message: string): void => {
    context.addIssue({ code: 'custom', message, path: [operator] })
  }
  if (!isKnownOperator(operator)) {
    refuse(`the condition operator "${operator}" is not known`)
    return
  }
  for (const value of values) {
    if (takesTruth(operator) && !/^(true|false)$/i.test(value)) refuse(`"${value}" is not true or false`)
    // With no value for the variable, "none matches" would hold for everyone, and no document says what AWS does.
    if (isNegatedOperator(operator) && /\$\{[^}]*:/.test(value)) refuse(`"${value}" has a variable under ${operator}`)
    checkVariables(value, context)
  }
}

function takesTruth(operator: string): boolean {
  return operator === 'Null' || operator.startsWith('Bool')
}

function checkVariables(text: string, context: z.RefinementCtx): void {
  const rest = text.replaceAll(/\$\{([*?$]|[A-Za-z0-9-]+:[\w./@=+-]+)\}/g, '')
  if (rest.includes('${')) context.addIssue({ code: 'custom', message: `"${text}" has a variable that is not known` })
}

function toStatement(parsed: ParsedStatement): PolicyStatement {
  const { AWS, Service } = parsed.Principal ?? {}
  const principals = { ...(AWS === undefined ? {} : { AWS }), ...(Service === undefined ? {} : { Service }) }
  return {
    ...(parsed.Sid === undefined ? {} : { sid: parsed.Sid }),
    effect: parsed.Effect,
    ...(parsed.Principal === undefined ? {} : { principals }),
    actions: parsed.Action,
    ...(parsed.Resource === undefined ? {} : { resources: parsed.Resource }),
    conditions: parsed.Condition,
  }
}

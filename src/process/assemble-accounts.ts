import type { Config } from '../config/config.ts'
import type { ServerName } from '../protocol/ids.ts'
import type { Appservices } from '../services/appservices/appservices.ts'
import { AccessTokens } from '../services/accounts/access-tokens.ts'
import { Accounts } from '../services/accounts/accounts.ts'
import type { OnDeactivated } from '../services/accounts/accounts.ts'
import { InteractiveAuth } from '../services/accounts/interactive-auth.ts'
import { Login } from '../services/accounts/login.ts'
import type { IsCrossSigningKeyId, LoginOptions } from '../services/accounts/login.ts'
import { OpenIdTokens } from '../services/accounts/open-id.ts'
import { PasswordHasher } from '../services/accounts/password-hasher.ts'
import { Passwords } from '../services/accounts/passwords.ts'
import { Registration } from '../services/accounts/registration.ts'
import type { OnRegistered, RegistrationOptions, ReservedUsers } from '../services/accounts/registration.ts'
import type { Policy } from '../services/accounts/registration-flows.ts'
import { Standings } from '../services/accounts/standings.ts'
import { Threepids } from '../services/accounts/threepids.ts'
import type { OnThreepidRemoved } from '../services/accounts/threepids.ts'
import { Sessions } from '../services/accounts/sessions.ts'
import { SharedSecretRegistration } from '../services/accounts/shared-secret-registration.ts'
import { UseLimits } from '../services/accounts/use-limits.ts'
import type { UseLimitOptions } from '../services/accounts/use-limits.ts'
import { Devices } from '../services/devices/devices.ts'
import type { DeleteDeviceHook, DevicesDeleted } from '../services/devices/devices.ts'
import { LastSeen } from '../services/devices/last-seen.ts'
import { MatrixError } from '../protocol/errors.ts'
import { makeUserId } from '../protocol/ids.ts'
import { getCrossSigningKeys } from '../storage/tables/cross-signing.ts'
import { upsertDeviceListChanges } from '../storage/tables/device-lists.ts'
import { CacheInvalidation } from '../streams/cache-invalidation.ts'
import type { Core } from './assemble-core.ts'
import type { VerificationServices } from './assemble-verification.ts'

/** Accounts, logins and devices. */
export interface AccountServices {
  readonly authenticator: AccessTokens
  readonly login: Login
  readonly sessions: Sessions
  readonly registration: Registration
  readonly sharedSecretRegistration: SharedSecretRegistration
  readonly interactiveAuth: InteractiveAuth
  readonly accounts: Accounts
  readonly passwords: Passwords
  readonly threepids: Threepids
  readonly standings: Standings
  readonly useLimits: UseLimits
  readonly openIdTokens: OpenIdTokens
  readonly devices: Devices
  readonly lastSeen: LastSeen
  readonly caches: CacheInvalidation
  /** What must go with a device: add to it while wiring. */
  readonly deleteDeviceHooks: DeleteDeviceHook[]
  /** Told when devices are gone: add to it while wiring. */
  readonly onDevicesDeleted: DevicesDeleted[]
  /** What becomes of a new account, in this order: add to it while wiring. */
  readonly onRegistered: OnRegistered[]
  /** What becomes of a closed account, in this order: add to it while wiring. */
  readonly onDeactivated: OnDeactivated[]
  /** What goes when an account loses an address: add to it while wiring. */
  readonly onThreepidRemoved: OnThreepidRemoved[]
  /** Must run after the streams' heads were set and everything is wired. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** Wires accounts and devices. */
export function assembleAccounts(
  core: Core,
  deps: { readonly appservices: Appservices; readonly verification: VerificationServices },
): AccountServices {
  const { config, database, clock, random, rateLimiter, serverName, background } = core
  const { registration: options } = config
  const { passwordConfig } = options
  const onRegistered: OnRegistered[] = []
  const onDeactivated: OnDeactivated[] = []
  const devices = assembleDevices(core)
  const { caches, sessions, lastSeen } = devices
  const passwords = makePasswords(core)
  const interactiveAuth = new InteractiveAuth({
    database,
    clock,
    random,
    passwords,
    isPasswordEnabled: passwordConfig.enabled !== false && passwordConfig.localdbEnabled,
    sessionTimeoutMs: options.uiAuth.sessionTimeoutMs,
  })
  const isCrossSigningKeyId: IsCrossSigningKeyId = async (userId, deviceId) =>
    (await getCrossSigningKeys(database, [userId])).some(({ publicKey }) => publicKey === deviceId)
  const standings = new Standings({ database, caches })
  const limits = new UseLimits({ database, clock, standings, options: useLimitOptions(config) })
  const parts = { database, clock, random, rateLimiter, passwords, sessions, limits }
  const login = new Login({ ...parts, options: loginOptions(config), isCrossSigningKeyId })
  const registration = new Registration({
    ...parts,
    interactiveAuth,
    onRegistered,
    reserved: reservedUsers(core, deps.appservices),
    validation: deps.verification.threepidValidation,
    captchas: deps.verification.captchas,
    options: registrationOptions(config, serverName),
  })
  const passwordPolicy = passwordConfig.policy
  const accounts = new Accounts({ ...parts, caches, background, lastSeen, serverName, passwordPolicy, onDeactivated })
  return {
    ...devices,
    standings,
    useLimits: limits,
    login,
    registration,
    interactiveAuth,
    accounts,
    passwords,
    ...assembleThreepids(core, deps.verification),
    onRegistered,
    onDeactivated,
    sharedSecretRegistration: new SharedSecretRegistration({
      database,
      clock,
      random,
      registration,
      secret: options.registrationSharedSecret,
    }),
    openIdTokens: new OpenIdTokens({ database, clock, random, serverName }),
    start: () => accounts.start(),
    stop: () => lastSeen.flush(),
  }
}

function makePasswords({ config, database, rateLimiter, serverName }: Core): Passwords {
  const { bcryptRounds: rounds, passwordConfig } = config.registration
  const hasher = new PasswordHasher({ rounds, pepper: passwordConfig.pepper })
  return new Passwords({ database, hasher, rateLimiter, serverName, failedAttempts: config.ratelimits.rcLogin.failedAttempts })
}

/** E-mail addresses and phone numbers of accounts. */
function assembleThreepids(
  { config, database, clock }: Core,
  { threepidValidation: validation, identityServers }: VerificationServices,
): Pick<AccountServices, 'threepids' | 'onThreepidRemoved'> {
  const onThreepidRemoved: OnThreepidRemoved[] = []
  const mayChange = config.registration.enable3pidChanges
  const threepids = new Threepids({ database, clock, validation, identityServers, mayChange, onRemoved: onThreepidRemoved })
  return { threepids, onThreepidRemoved }
}

/** Devices and their tokens. */
function assembleDevices(core: Core): Pick<
  AccountServices,
  'authenticator' | 'caches' | 'deleteDeviceHooks' | 'onDevicesDeleted' | 'devices' | 'sessions'
> & {
  lastSeen: LastSeen
} {
  const { config, database, hub, clock, random, logger } = core
  const deleteDeviceHooks: DeleteDeviceHook[] = []
  const onDevicesDeleted: DevicesDeleted[] = []
  const caches = new CacheInvalidation({ database, hub, committer: core.committer('caches'), clock })
  core.memberships.setCaches(caches)
  const lastSeen = new LastSeen({
    database,
    clock,
    keptMs: config.server.userIpsMaxAgeMs,
    onError: (error) => logger.error('storing last sights failed', { error }),
  })
  const tracksPuppeteers = config.users.trackPuppetedUserIps
  const authenticator = new AccessTokens({ database, hub, caches, clock, lastSeen, tracksPuppeteers })
  const devices = new Devices({
    database,
    committer: core.committer('device_lists'),
    lastSeen,
    recordChange: (tx, userId, index) => upsertDeviceListChanges(tx, index, [{ userId, viewerId: undefined }]),
    deleteHooks: deleteDeviceHooks,
    onDeleted: onDevicesDeleted,
  })
  const sessions = new Sessions({ database, devices, caches, clock, random, lifetimes: config.registration })
  return { authenticator, caches, deleteDeviceHooks, onDevicesDeleted, devices, sessions, lastSeen }
}

function loginOptions({ registration, ratelimits }: Config): LoginOptions {
  return {
    isPasswordEnabled: registration.passwordConfig.enabled === true && registration.passwordConfig.localdbEnabled,
    existingSession: registration.loginViaExistingSession,
    limits: ratelimits.rcLogin,
  }
}

function registrationOptions(config: Config, serverName: ServerName): RegistrationOptions {
  const { registration, ratelimits, server, limits } = config
  return {
    serverName,
    isEnabled: registration.enableRegistration,
    flows: {
      requiresToken: registration.registrationRequiresToken,
      tokenBypassesThreepids: registration.enableRegistrationToken3pidBypass,
      policy: policyOf(registration.userConsent, server.publicBaseUrl),
      requiredMedia: registration.registrationsRequire3pid,
      isMsisdnDisabled: registration.disableMsisdnRegistration,
      recaptchaKey: limits.enableRegistrationCaptcha ? limits.recaptchaPublicKey : undefined,
    },
    allowsGuests: registration.allowGuestAccess,
    inhibitsUserInUseError: registration.inhibitUserInUseError,
    allowsUnderscore: registration.allowUnderscorePrefixedLocalpart,
    passwordPolicy: registration.passwordConfig.policy,
    limits: { registration: ratelimits.rcRegistration, tokenValidity: ratelimits.rcRegistrationTokenValidity },
  }
}

function useLimitOptions({ limits, server, users }: Config): UseLimitOptions {
  return {
    limits,
    closed: server.hsDisabled ? { message: server.hsDisabledMessage } : undefined,
    adminContact: server.adminContact,
    countsAppserviceUsers: users.trackAppserviceUserIps,
  }
}

/** The policy to agree to, at the address where Synapse has it. */
function policyOf(consent: Config['registration']['userConsent'], publicBaseUrl: string): Policy | undefined {
  const { version, policyName: name, requireAtRegistration } = consent
  if (!requireAtRegistration || version === undefined) return undefined
  return { version, name, url: `${publicBaseUrl}_matrix/consent?v=${encodeURIComponent(version)}` }
}

/** Names of application services, and that of the server itself: whoever had it could speak in every room of its notices. */
function reservedUsers({ config, serverName }: Core, appservices: Appservices): ReservedUsers {
  const localpart = config.rooms.serverNotices.systemMxidLocalpart
  return {
    assertMayMakeUser(userId, appserviceId) {
      if (localpart !== undefined && userId === makeUserId(localpart, serverName))
        throw new MatrixError('M_EXCLUSIVE', 'This user ID is reserved.')
      appservices.assertMayMakeUser(userId, appserviceId)
    },
  }
}
